/** What an archive costs its source: transactions per second with and without it, beside windows that differ in nothing. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { engineProductTitles } from '../src/platform/installed.js';
import { SOURCE_CORE, TIDEMARK_CORE } from './chain-latency.js';
import { pin, startFollower } from './chain-launch.js';
import type { LoadedSource, LoadProduct } from './load.js';
import { runLoad, withSource } from './load.js';
import { startReceiver } from './plain-receiver.js';
import { median, percent, table } from './report.js';
import type { TlsStore } from './tls-store.js';

/** Per round, in this order or the other way round: `on` and `receiver` are compared with `off`, `control` with `off2`. */
const windows = ['receiver', 'off', 'on', 'off2', 'control'] as const;
type Window = (typeof windows)[number];
const places = ['disk', 'memory'] as const;
type Place = (typeof places)[number];
export type ThroughputResult = {
  readonly product: LoadProduct;
  readonly place: Place;
  readonly rates: Record<Window, number[]>;
};

type Options = { readonly store: TlsStore; readonly dir: string; readonly windowMs: number; readonly rounds: number };

export async function benchThroughput(product: LoadProduct, options: Options): Promise<ThroughputResult[]> {
  pin(options.store.pid, TIDEMARK_CORE);
  const results: ThroughputResult[] = [];
  for (const place of places) results.push(await benchPlace(product, place, options));
  return results;
}

async function benchPlace(product: LoadProduct, place: Place, options: Options): Promise<ThroughputResult> {
  const dir = place === 'disk' ? options.dir : mkdtempSync('/dev/shm/tm-bench-');
  // The server runs as another user.
  chmodSync(dir, 0o711);
  try {
    return await withSource(product, { store: options.store, dir, core: SOURCE_CORE }, async (source) => {
      const rates: ThroughputResult['rates'] = { receiver: [], off: [], on: [], off2: [], control: [] };
      // Unmeasured: the first windows of a new server are its fastest or slowest.
      await rate(source, options.windowMs);
      for (let round = 0; round < options.rounds; round += 1) {
        for (const window of round % 2 === 0 ? windows : [...windows].reverse()) {
          const found = await besideArchive(window, source, round, options);
          rates[window].push(found);
          console.log(
            `  ${engineProductTitles[product]} in ${place}, round ${round + 1} ${window}: ${found.toFixed(0)}/s`,
          );
        }
      }
      return { product, place, rates };
    });
  } finally {
    if (place === 'memory') rmSync(dir, { recursive: true, force: true });
  }
}

async function rate({ site }: LoadedSource, windowMs: number): Promise<number> {
  const task = { connection: site.connection, sessions: 8, rate: null, forMs: windowMs };
  const { sentAt, wallMs } = await runLoad(task, SOURCE_CORE);
  return sentAt.length / (wallMs / 1000);
}

async function besideArchive(window: Window, source: LoadedSource, epoch: number, options: Options): Promise<number> {
  const spoolDir = join(options.dir, `spool-${epoch}`);
  const archive =
    window === 'on'
      ? startFollower({ act: 'follow', site: source.site, epoch, spoolDir }, options.store, TIDEMARK_CORE)
      : window === 'receiver'
        ? startReceiver(source, spoolDir, TIDEMARK_CORE)
        : null;
  try {
    await archive?.receiving();
    return await rate(source, options.windowMs);
  } finally {
    await archive?.stop();
    rmSync(spoolDir, { recursive: true, force: true });
  }
}

export function throughputSection(results: readonly ThroughputResult[], windowMs: number): string[] {
  const loss = (rates: readonly number[], beside: readonly number[]) =>
    median(rates.map((value, round) => 1 - value / (beside[round] ?? Number.NaN)));
  const all = (rates: readonly number[], beside: readonly number[]) =>
    rates.map((value, round) => percent(1 - value / (beside[round] ?? Number.NaN))).join(', ');
  const shown = (rates: readonly number[], beside: readonly number[]) =>
    `${percent(loss(rates, beside))} (${all(rates, beside)})`;
  return [
    ...table(
      [
        'source, its data',
        'without',
        'with the archive',
        'loss (in each round)',
        "engine's receiver alone",
        'A/A control',
      ],
      results.map(({ product, place, rates }) => [
        `${engineProductTitles[product]}, ${place}`,
        `${median(rates.off).toFixed(0)}/s`,
        `${median(rates.on).toFixed(0)}/s`,
        shown(rates.on, rates.off),
        shown(rates.receiver, rates.off),
        shown(rates.control, rates.off2),
      ]),
    ),
    '',
    `Target: at most 5 %. Windows of ${windowMs / 1000} s at full speed, 8 sessions, the same transactions, cores as above; in the control neither window has an archive.`,
    "Binary logs and WAL are written in all of them. *The engine's receiver alone*: pg_receivewal or mysqlbinlog writing plain files on the other core, the least that an archive can cost.",
    '*Disk*: the source syncs each commit, as in production. *Memory*: nothing waits for a disk, so that the one core is always busy and every wake-up of the',
    'process that sends the log is a loss; both ends of the loopback connection are worked off there too.',
  ];
}
