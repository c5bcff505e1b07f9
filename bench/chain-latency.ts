/** From commit to durable in the store, with the source on one core and Tidemark and the store on the other. */
import { createReadStream, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readTransactions } from '../src/engines/mysql-family/binlog/read-transactions.js';
import { parseLsn } from '../src/engines/postgres/archive/wal-names.js';
import { engineProductTitles } from '../src/platform/installed.js';
import type { DurableSlice } from './chain-follow.js';
import { pin, startFollower } from './chain-launch.js';
import type { LoadedSource, LoadProduct } from './load.js';
import { runLoad, withSource } from './load.js';
import type { LoadFigures } from './load-worker.js';
import { percentile, seconds, table } from './report.js';
import type { TlsStore } from './tls-store.js';

export const SOURCE_CORE = 0;
export const TIDEMARK_CORE = 1;
/** Transactions per second that are offered. */
export const RATES = [500, 1000];
const TARGET = { p50: 2_000, p99: 5_000 };

export type LatencyResult = {
  readonly product: LoadProduct;
  readonly offered: number;
  readonly taken: number;
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly longest: number;
};

export async function benchLatency(
  product: LoadProduct,
  options: { readonly store: TlsStore; readonly dir: string; readonly windowMs: number },
): Promise<LatencyResult[]> {
  pin(options.store.pid, TIDEMARK_CORE);
  const results: LatencyResult[] = [];
  await withSource(product, { ...options, core: SOURCE_CORE }, async (source) => {
    for (const [epoch, offered] of RATES.entries()) {
      const result = await measure(product, source, offered, epoch, options);
      results.push(result);
      console.log(
        `  ${engineProductTitles[product]} ${offered}/s: taken ${result.taken.toFixed(0)}/s, p50 ${seconds(result.p50)}, p99 ${seconds(result.p99)}, longest ${seconds(result.longest)}`,
      );
    }
  });
  return results;
}

async function measure(
  product: LoadProduct,
  { site, server }: LoadedSource,
  offered: number,
  epoch: number,
  { store, dir, windowMs }: { readonly store: TlsStore; readonly dir: string; readonly windowMs: number },
): Promise<LatencyResult> {
  const spoolDir = join(dir, `spool-${product}-${epoch}`);
  const follower = startFollower({ act: 'follow', site, epoch, spoolDir }, store, TIDEMARK_CORE);
  try {
    await follower.receiving();
    const load = { connection: site.connection, sessions: 16, rate: offered, forMs: windowMs };
    const begun = Date.now();
    const figures = await runLoad(load, SOURCE_CORE);
    let waits: number[] = [];
    const all = async () => {
      waits =
        product === 'pg17'
          ? byPosition(figures, follower.slices)
          : await byOrder(product, server.engineDataDir, figures, begun, follower.slices);
      return waits.every((wait) => Number.isFinite(wait));
    };
    const end = Date.now() + 120_000;
    while (!(await all())) {
      if (Date.now() > end) throw new Error('commits are not in the store two minutes after the last one');
      await sleep(500);
    }
    return {
      product,
      offered,
      taken: figures.sentAt.length / (figures.wallMs / 1000),
      count: waits.length,
      p50: percentile(waits, 0.5),
      p99: percentile(waits, 0.99),
      longest: Math.max(...waits),
    };
  } finally {
    await follower.stop();
    rmSync(spoolDir, { recursive: true, force: true });
  }
}

/** PostgreSQL tells a position right behind each commit. */
function byPosition(figures: LoadFigures, slices: readonly DurableSlice[]): number[] {
  const ends = slices.map((slice) => ({ at: slice.at, lsn: parseLsn(slice.end.lsn ?? '0/0') }));
  const commits = figures.sentAt
    .map((at, index) => ({ at, lsn: parseLsn(figures.positions[index] ?? '0/0') }))
    .sort((a, b) => (a.lsn < b.lsn ? -1 : 1));
  let index = 0;
  return commits.map(({ at, lsn }) => {
    while (index < ends.length && (ends[index]?.lsn ?? 0n) < lsn) index += 1;
    return (ends[index]?.at ?? Number.POSITIVE_INFINITY) - at;
  });
}

/**
 * The nth transaction of the log was the nth to be sent, give or take as many as were on their way at the same time, which is
 * milliseconds.
 */
async function byOrder(
  product: 'mysql' | 'mariadb',
  dataDir: string,
  figures: LoadFigures,
  begun: number,
  slices: readonly DurableSlice[],
): Promise<number[]> {
  const file = slices.at(-1)?.file;
  if (file === undefined) return [Number.POSITIVE_INFINITY];
  const ends: number[] = [];
  for await (const one of readTransactions(createReadStream(join(dataDir, file)), { kind: product, file })) {
    // The log's times have whole seconds on MariaDB.
    if (Number(one.commitTimeMicros / 1000n) >= begun - 1000) ends.push(one.end);
  }
  if (ends.length !== figures.sentAt.length)
    throw new Error(`${figures.sentAt.length} transactions were sent, the log ${file} has ${ends.length}`);
  let index = 0;
  return ends.map((end, number) => {
    while (index < slices.length) {
      const slice = slices[index] as DurableSlice;
      if (slice.file === file && slice.offset + slice.bytes >= end) break;
      index += 1;
    }
    return (slices[index]?.at ?? Number.POSITIVE_INFINITY) - (figures.sentAt[number] ?? 0);
  });
}

export function latencySection(results: readonly LatencyResult[], windowMs: number): string[] {
  const inTime = (value: number, limit: number) => `${seconds(value)}${value > limit ? ' (missed)' : ''}`;
  return [
    ...table(
      ['commit to durable in the store', 'offered', 'taken by the source', 'commits', 'p50', 'p99', 'longest'],
      results.map((result) => [
        engineProductTitles[result.product],
        `${result.offered}/s`,
        `${result.taken.toFixed(0)}/s`,
        String(result.count),
        inTime(result.p50, TARGET.p50),
        inTime(result.p99, TARGET.p99),
        seconds(result.longest),
      ]),
    ),
    '',
    `Every commit of ${windowMs / 1000} s, from the moment its transaction is sent until the slice that holds it and the slice's record are in the store. Targets: p50 2 s, p99 5 s.`,
    'Source and application run on one core, Tidemark and the store on the other. A transaction inserts one row of 300 bytes and updates another; 16 sessions; the source syncs each commit.',
  ];
}
