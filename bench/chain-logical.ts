/** Fulls of MySQL and MariaDB beside the plain pipeline. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { EngineServer } from '../src/embedded/engine-server.js';
import { startEngineServer } from '../src/embedded/engine-server.js';
import { engineProductTitles } from '../src/platform/installed.js';
import { runTask } from './chain-launch.js';
import { makeSite } from './chain-site.js';
import { peerCompressor, runPeer } from './dump-peer.js';
import { generateDatabase } from './generate.js';
import { mebibytes, median, pairedRatio, ratio, seconds, table } from './report.js';
import type { TlsStore } from './tls-store.js';

export type FamilyProduct = 'mysql' | 'mariadb';
type Way = 'peer' | 'plain' | 'fingerprint';
export type LogicalResult = {
  readonly product: FamilyProduct;
  readonly runs: Record<Way, number[]>;
  readonly storedBytes: number;
};

const TARGET = 1.15;

export async function benchLogical(
  product: FamilyProduct,
  options: { readonly mib: number; readonly rounds: number; readonly store: TlsStore; readonly dir: string },
): Promise<LogicalResult> {
  const dataDir = join(options.dir, product);
  const server = await startEngineServer({ product, dataDir, durability: 'fast' });
  try {
    console.log(`${engineProductTitles[product]}: generating ${options.mib} MiB`);
    const database = await generateDatabase(server, options.mib);
    return await measure(product, server, database, options);
  } finally {
    await server.kill();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function measure(
  product: FamilyProduct,
  server: EngineServer,
  database: string,
  { rounds, store, dir }: { readonly rounds: number; readonly store: TlsStore; readonly dir: string },
): Promise<LogicalResult> {
  const runs: LogicalResult['runs'] = { peer: [], plain: [], fingerprint: [] };
  const env = { NODE_EXTRA_CA_CERTS: store.certFile };
  let storedBytes = 0;
  // Once unmeasured: it fills the caches that all later runs find full.
  await runPeer(server, database, store, await store.createBucket(), dir, env);
  for (let round = 0; round < rounds; round += 1) {
    const bucket = await store.createBucket();
    const site = await makeSite(server, store.config(bucket), database);
    const ways: Way[] = ['peer', 'plain', 'fingerprint'];
    for (const way of [...ways.slice(round % 3), ...ways.slice(0, round % 3)]) {
      if (way === 'peer') runs.peer.push((await runPeer(server, database, store, bucket, dir, env)).wallMs);
      else {
        const task = { act: 'take', site, parentId: null, fingerprint: way === 'fingerprint' } as const;
        const figures = await runTask(task, store);
        runs[way].push(figures.wallMs);
        storedBytes = figures.storedBytes;
      }
      console.log(`  round ${round + 1} ${way}: ${seconds(runs[way].at(-1) ?? 0)}`);
    }
    rmSync(join(store.dataDir, bucket), { recursive: true, force: true });
  }
  return { product, runs, storedBytes };
}

const inRounds = (runs: readonly number[], peer: readonly number[]) =>
  `${ratio(pairedRatio(runs, peer))} (${runs.map((run, round) => ratio(run / (peer[round] ?? Number.NaN))).join(', ')})`;

export function logicalSection(results: readonly LogicalResult[]): string[] {
  const rows = results.map(({ product, runs, storedBytes }) => [
    engineProductTitles[product],
    mebibytes(storedBytes),
    seconds(median(runs.peer)),
    seconds(median(runs.plain)),
    inRounds(runs.plain, runs.peer),
    seconds(median(runs.fingerprint)),
    inRounds(runs.fingerprint, runs.peer),
    ratio(TARGET),
  ]);
  return [
    ...table(
      [
        'full',
        'stored',
        'plain pipeline',
        'Tidemark, no fingerprint',
        'ratio (in each round)',
        'Tidemark, fingerprint',
        'ratio (in each round)',
        'target',
      ],
      rows,
    ),
    '',
    `The plain pipeline is the dump tool, ${peerCompressor().name}, and the AWS SDK's upload, with no TLS to the server on either side; it neither encrypts nor verifies, and knows no position of the log.`,
  ];
}
