import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { EngineServer } from '../src/embedded/engine-server.js';
import { startEngineServer } from '../src/embedded/engine-server.js';
import type { EngineProduct } from '../src/platform/installed.js';
import { engineProductTitles, enginesRoot } from '../src/platform/installed.js';
import { workerEnvironment, workerNodeFlags } from '../src/platform/worker-memory.js';
import { connectionTo } from '../test/support/connection-to.js';
import type { S3Store } from '../test/support/start-s3-store.js';
import { startS3Store } from '../test/support/start-s3-store.js';
import { cpuMsOf } from './cpu-time.js';
import { peerCompressor, runPeer } from './dump-peer.js';
import type { DumpFigures, DumpTask } from './dump-worker.js';
import { generateDatabase } from './generate.js';
import { machine, median, pairedRatio, seconds, table, writeSection } from './report.js';

type Way = 'peer' | 'plain' | 'fingerprint';
/** `cpuMs`: of the backup itself; `othersCpuMs`: of the database server and the S3 store meanwhile. */
type Run = { wallMs: number; cpuMs: number; othersCpuMs: number; peakBytes: number };
type Result = { product: EngineProduct; storedBytes: number; runs: Record<Way, Run[]> };

const TARGETS = { plain: 1.1, fingerprint: 1.35, peakMiB: 350 };

/**
 * Backs up a generated database with Tidemark, with and without the fingerprint, beside the plain pipeline, in turn and repeated, and
 * writes medians and ratios to docs/performance.md (not with --no-report).
 */
export async function runDumpBench(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      mib: { type: 'string', default: '2048' },
      rounds: { type: 'string', default: '3' },
      engines: { type: 'string', default: 'pg17,mysql,mariadb' },
      'no-report': { type: 'boolean', default: false },
    },
  });
  const mib = Number(values.mib);
  const rounds = Number(values.rounds);
  const dir = mkdtempSync(join(tmpdir(), 'tm-bench-'));
  // Database servers run as another user, who must reach their data below.
  chmodSync(dir, 0o711);
  const store = await startS3Store();
  const results: Result[] = [];
  try {
    for (const product of values.engines.split(',') as EngineProduct[]) {
      results.push(await benchEngine(product, mib, rounds, store, dir));
      print(results.at(-1) as Result);
    }
  } finally {
    await store.close();
    rmSync(dir, { recursive: true, force: true });
  }
  if (!values['no-report']) writeReport(results, mib, rounds);
}

async function benchEngine(
  product: EngineProduct,
  mib: number,
  rounds: number,
  store: S3Store,
  dir: string,
): Promise<Result> {
  const dataDir = join(dir, product);
  const server = await startEngineServer({ product, dataDir, durability: 'fast' });
  try {
    console.log(`${engineProductTitles[product]}: generating ${mib} MiB`);
    const database = await generateDatabase(server, mib);
    const runs: Record<Way, Run[]> = { peer: [], plain: [], fingerprint: [] };
    let storedBytes = 0;
    // Once unmeasured: it fills the caches that all later runs find full.
    await runPeer(server, database, store, await store.createBucket(), dir);
    for (let round = 0; round < rounds; round += 1) {
      const bucket = await store.createBucket();
      // In another order each round: none always comes first.
      const ways: Way[] = ['peer', 'plain', 'fingerprint'];
      for (const way of [...ways.slice(round % 3), ...ways.slice(0, round % 3)]) {
        const others = () => cpuMsOf(server.pid ?? 'self') + cpuMsOf(store.pid);
        const before = others();
        if (way === 'peer') {
          const figures = await runPeer(server, database, store, bucket, dir);
          runs.peer.push({ ...figures, othersCpuMs: others() - before });
        } else {
          const figures = await runTidemark(server, database, store, bucket, way === 'fingerprint');
          runs[way].push({ ...figures, othersCpuMs: others() - before });
          storedBytes = figures.storedBytes;
        }
        const last = runs[way].at(-1);
        console.log(
          `  round ${round + 1} ${way}: ${seconds(last?.wallMs ?? 0)}, processor ${seconds(last?.cpuMs ?? 0)}, of server and store ${seconds(last?.othersCpuMs ?? 0)}`,
        );
      }
      rmSync(join(store.dataDir, bucket), { recursive: true, force: true });
    }
    return { product, storedBytes, runs };
  } finally {
    await server.kill();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function runTidemark(
  server: EngineServer,
  database: string,
  store: S3Store,
  bucket: string,
  fingerprint: boolean,
): Promise<DumpFigures> {
  const task: DumpTask = {
    connection: connectionTo(server, database),
    destination: store.config(bucket),
    toolRoots: [enginesRoot(process.env)],
    fingerprint,
  };
  const worker = fileURLToPath(new URL('dump-worker.ts', import.meta.url));
  // Started as `tidemark up` starts its workers.
  const child = spawn(process.execPath, [...workerNodeFlags, '--import', 'tsx', worker], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, ...workerEnvironment },
  });
  child.stdin.end(JSON.stringify(task));
  const exited = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
  const output = await text(child.stdout);
  if ((await exited) !== 0) throw new Error(`the backup of ${server.product} failed`);
  return JSON.parse(output) as DumpFigures;
}

const peak = (runs: readonly Run[]) => Math.max(...runs.map((run) => run.peakBytes)) / 1024 / 1024;
const wallTimes = (runs: readonly Run[]) => runs.map((run) => run.wallMs);
const wall = (runs: readonly Run[]) => median(wallTimes(runs));
const ratio = (runs: readonly Run[], peer: readonly Run[]) => pairedRatio(wallTimes(runs), wallTimes(peer));
const work = (runs: readonly Run[]) => runs.map((run) => run.cpuMs + run.othersCpuMs);
/** The same for all processor time, that of database server and store too: it says what waiting for other programs hides. */
const workRatio = (runs: readonly Run[], peer: readonly Run[]) => pairedRatio(work(runs), work(peer));

function row({ product, storedBytes, runs }: Result): string[] {
  return [
    engineProductTitles[product],
    `${(storedBytes / 1024 / 1024).toFixed(0)} MiB`,
    seconds(wall(runs.peer)),
    seconds(wall(runs.plain)),
    ratio(runs.plain, runs.peer).toFixed(2),
    workRatio(runs.plain, runs.peer).toFixed(2),
    seconds(wall(runs.fingerprint)),
    ratio(runs.fingerprint, runs.peer).toFixed(2),
    workRatio(runs.fingerprint, runs.peer).toFixed(2),
    `${peak(runs.plain).toFixed(0)} MiB`,
    `${peak(runs.fingerprint).toFixed(0)} MiB`,
    `${peak(runs.peer).toFixed(0)} MiB`,
  ];
}

const HEADINGS = [
  'engine',
  'stored',
  'plain pipeline',
  'Tidemark, no fingerprint',
  'wall ratio',
  'processor ratio',
  'Tidemark, fingerprint',
  'wall ratio',
  'processor ratio',
  'peak memory, no fingerprint',
  'peak memory, fingerprint',
  'peak memory of the pipeline’s upload alone',
];

function print(result: Result): void {
  const cells = row(result);
  for (const [index, heading] of HEADINGS.entries()) console.log(`  ${heading}: ${cells[index]}`);
}

function writeReport(results: readonly Result[], mib: number, rounds: number): void {
  writeSection('dump', [
    '## Dump backups',
    '',
    ...machine(`npm run bench -- dump --mib ${mib} --rounds ${rounds}`),
    'Source, S3 store (versitygw) and backup share this machine.',
    '',
    ...table(HEADINGS, results.map(row)),
    '',
    `Wall times are medians of ${rounds} rounds, ratios the medians of the ratios within a round; the processor ratio takes user and system time`,
    'of all that took part, database server and store too. Memory is the highest peak (VmHWM) of the Node process. The plain pipeline is the same dump tool with the same options, piped through ' +
      `${peerCompressor().name},`,
    'and uploaded by the AWS SDK (`lib-storage`, 16 MiB parts, 4 in flight); it neither encrypts nor verifies. About a third of each row is',
    `random. Targets: ratio at most ${TARGETS.plain.toFixed(2)} without and ${TARGETS.fingerprint.toFixed(2)} with the fingerprint, at most ${TARGETS.peakMiB} MiB of memory whatever the size.`,
  ]);
}
