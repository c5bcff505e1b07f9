import { execFileSync, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { EngineServer } from '../src/embedded/engine-server.js';
import { engineBinDir, engineRoot } from '../src/platform/installed.js';
import type { S3Store } from '../test/support/start-s3-store.js';
import { cpuMsOfChildren } from './cpu-time.js';

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** How the peer compresses here, for the report. */
export function peerCompressor(): { shell: string; name: string } {
  try {
    execFileSync('zstd', ['--version'], { stdio: 'ignore' });
    return { shell: 'zstd -3 -q', name: 'the zstd program, level 3' };
  } catch {
    return { shell: `"$NODE" ${here('compress.mjs')}`, name: "node's zstd in a process of its own, level 3" };
  }
}

/** The plain pipeline: dump tool | zstd | upload with the AWS SDK. Wall time from start to the end of its last member. */
export async function runPeer(
  server: EngineServer,
  database: string,
  store: S3Store,
  bucket: string,
  dir: string,
  env: Readonly<Record<string, string>> = {},
): Promise<{ wallMs: number; cpuMs: number; peakBytes: number }> {
  const root = engineRoot(server.product, process.env);
  if (root === null) throw new Error(`${server.product} is not installed`);
  const bin = engineBinDir(server.product, root);
  const { endpoint, accessKeyId, secretAccessKey } = store;
  const cpuBefore = cpuMsOfChildren();
  const started = performance.now();
  const child = spawn(
    'bash',
    [
      '-o',
      'pipefail',
      '-c',
      `${dumpCommand(server, database, bin, dir)} | ${peerCompressor().shell} | "$NODE" ${here('upload.mjs')}`,
    ],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: {
        ...env,
        PATH: process.env.PATH,
        NODE: process.execPath,
        PGPASSWORD: server.adminPassword,
        BENCH_UPLOAD: JSON.stringify({ endpoint, accessKeyId, secretAccessKey, bucket, key: `peer-${Date.now()}` }),
      },
    },
  );
  const exited = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
  const output = await text(child.stdout);
  if ((await exited) !== 0) throw new Error(`the plain pipeline of ${server.product} failed`);
  const wallMs = performance.now() - started;
  const { peakBytes } = JSON.parse(output) as { peakBytes: number };
  return { wallMs, cpuMs: cpuMsOfChildren() - cpuBefore, peakBytes };
}

/** The same tools and options as a Tidemark dump has. */
function dumpCommand(server: EngineServer, database: string, bin: string, dir: string): string {
  const address = `-h 127.0.0.1 -p ${server.port} -U ${server.adminUser}`;
  if (server.engine === 'postgresql')
    return `${join(bin, 'pg_dump')} ${address} --format=custom --compress=0 ${database}`;
  const options = join(dir, 'client.cnf');
  const client = [
    '[client]',
    'host=127.0.0.1',
    `port=${server.port}`,
    `user=${server.adminUser}`,
    `password=${server.adminPassword}`,
  ];
  writeFileSync(options, `${client.join('\n')}\n`, { mode: 0o600 });
  const tool = join(bin, server.engine === 'mysql' ? 'mysqldump' : 'mariadb-dump');
  // Without TLS to the server on both sides: left alone, mysqldump takes it up by itself.
  const brand =
    server.engine === 'mysql' ? '--ssl-mode=DISABLED --get-server-public-key --set-gtid-purged=OFF' : '--skip-ssl';
  const flags =
    '--single-transaction --quick --hex-blob --no-tablespaces --default-character-set=utf8mb4 --triggers --routines --skip-events';
  return `${tool} --defaults-file=${options} ${brand} ${flags} ${database}`;
}
