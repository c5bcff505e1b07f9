/** What an archive costs its source: transactions per second with and without it, beside windows that differ in nothing. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { engineProductTitles } from '../src/platform/installed.js';
import { RATES, SOURCE_CORE, TIDEMARK_CORE } from './chain-latency.js';
import { pin, startFollower } from './chain-launch.js';
import type { LoadedSource, LoadProduct } from './load.js';
import { runLoad, withSource } from './load.js';
import { queryServer } from './load-tables.js';
import { startReceiver } from './plain-receiver.js';
import { median, percent, table } from './report.js';
import type { TlsStore } from './tls-store.js';

/** What stands beside the two inner ones of four windows. */
const ways = ['archive', 'receiver', 'control'] as const;
type Way = (typeof ways)[number];
/** Transactions per second, and microseconds of processor time that the server takes for one. */
type Window = { readonly rate: number; readonly cpu: number };
/** One after the other: without, with, with, without. What becomes slower or faster all the time is in both halves alike. */
type Four = { readonly without: readonly Window[]; readonly beside: readonly Window[] };
const places = ['disk', 'memory'] as const;
type Place = (typeof places)[number];
export type ThroughputResult = {
  readonly product: LoadProduct;
  readonly place: Place;
  /** Offered transactions per second; null: as many as the source takes. */
  readonly offered: number | null;
  readonly fours: Record<Way, Four[]>;
};

/** What a receiver has to catch up with when it starts is over by then. */
const SETTLE_MS = 1_500;
type Options = { readonly store: TlsStore; readonly dir: string; readonly windowMs: number; readonly rounds: number };

export async function benchThroughput(product: LoadProduct, options: Options): Promise<ThroughputResult[]> {
  pin(options.store.pid, TIDEMARK_CORE);
  const results: ThroughputResult[] = [];
  for (const place of places) {
    const dir = place === 'disk' ? options.dir : mkdtempSync('/dev/shm/tm-bench-');
    // The server runs as another user.
    chmodSync(dir, 0o711);
    try {
      await withSource(product, { store: options.store, dir, core: SOURCE_CORE }, async (source) => {
        // Unmeasured: the first seconds of a new server are its fastest or slowest.
        await measure(source, null, options.windowMs);
        results.push(await benchAt(source, place, null, options));
        if (place === 'memory') return;
        for (const offered of RATES) results.push(await benchAt(source, place, offered, options));
      });
    } finally {
      if (place === 'memory') rmSync(dir, { recursive: true, force: true });
    }
  }
  return results;
}

async function benchAt(
  source: LoadedSource,
  place: Place,
  offered: number | null,
  options: Options,
): Promise<ThroughputResult> {
  const fours: ThroughputResult['fours'] = { archive: [], receiver: [], control: [] };
  const { product } = source.server;
  const title = `${engineProductTitles[product]}, ${place}, ${offered ?? 'full'} speed`;
  for (let round = 0; round < options.rounds; round += 1) {
    for (const way of round % 2 === 0 ? ways : [...ways].reverse()) {
      const four = await measureFour(source, way, offered, options);
      fours[way].push(four);
      console.log(`  ${title}, round ${round + 1} ${way}: ${percent(lossOf(four))}`);
    }
  }
  return { product: product as LoadProduct, place, offered, fours };
}

let epochs = 0;

async function measureFour(
  source: LoadedSource,
  way: Way,
  offered: number | null,
  { store, dir, windowMs }: Options,
): Promise<Four> {
  const { site } = source;
  // A receiver of a binary log begins with the whole of the present file.
  if (site.connection.engine !== 'postgresql') await queryServer(site.connection, ['FLUSH BINARY LOGS']);
  const window = () => measure(source, offered, windowMs);
  const epoch = epochs++;
  const spoolDir = join(dir, `spool-${epoch}`);
  const first = await window();
  const archive =
    way === 'archive'
      ? startFollower({ act: 'follow', site, epoch, spoolDir }, store, TIDEMARK_CORE)
      : way === 'receiver'
        ? startReceiver(source, spoolDir, TIDEMARK_CORE)
        : null;
  const beside: Window[] = [];
  try {
    await archive?.receiving();
    await sleep(SETTLE_MS);
    for (let count = 0; count < 2; count += 1) beside.push(await window());
  } finally {
    await archive?.stop();
    rmSync(spoolDir, { recursive: true, force: true });
  }
  return { without: [first, await window()], beside };
}

async function measure({ site, server }: LoadedSource, rate: number | null, forMs: number): Promise<Window> {
  const task = { connection: site.connection, sessions: rate === null ? 8 : 16, rate, forMs, serverPid: server.pid };
  const { sentAt, wallMs, serverCpuMs } = await runLoad(task, SOURCE_CORE);
  return { rate: sentAt.length / (wallMs / 1000), cpu: (serverCpuMs / sentAt.length) * 1000 };
}

const sum = (windows: readonly Window[], of: keyof Window) => windows.reduce((all, window) => all + window[of], 0);
const lossOf = ({ without, beside }: Four) => 1 - sum(beside, 'rate') / sum(without, 'rate');

export function throughputSection(results: readonly ThroughputResult[], windowMs: number): string[] {
  const middle = (fours: readonly Four[], half: keyof Four, of: keyof Window) =>
    median(fours.flatMap((four) => four[half].map((window) => window[of])));
  const shown = (fours: readonly Four[]) => {
    const losses = fours.map(lossOf);
    return `${percent(median(losses))} (${losses.map(percent).join(', ')})`;
  };
  const speed = (offered: number | null) => (offered === null ? 'full speed' : `${offered}/s offered`);
  return [
    ...table(
      ['source, its data', 'without', 'with the archive', 'loss (each)', "engine's receiver alone", 'A/A control'],
      results.map(({ product, place, offered, fours }) => [
        `${engineProductTitles[product]}, ${place}, ${speed(offered)}`,
        `${middle(fours.archive, 'without', 'rate').toFixed(0)}/s`,
        `${middle(fours.archive, 'beside', 'rate').toFixed(0)}/s`,
        shown(fours.archive),
        shown(fours.receiver),
        shown(fours.control),
      ]),
    ),
    '',
    ...table(
      [
        "the server's processor time per transaction",
        'without',
        'with the archive',
        "with the engine's receiver alone",
      ],
      results.map(({ product, place, offered, fours }) => {
        const without = median(ways.map((way) => middle(fours[way], 'without', 'cpu')));
        const beside = (way: Way) => {
          const cpu = middle(fours[way], 'beside', 'cpu');
          return `${cpu.toFixed(0)} µs (${cpu < without ? '' : '+'}${percent(cpu / without - 1)})`;
        };
        return [
          `${engineProductTitles[product]}, ${place}, ${speed(offered)}`,
          `${without.toFixed(0)} µs`,
          beside('archive'),
          beside('receiver'),
        ];
      }),
    ),
    '',
    `Target: at most 5 %. Four windows of ${windowMs / 1000} s each time: without, with, with, without; the loss is that of the middle two against the outer two, the median of all such fours.`,
    'In the control the middle two have no archive either: its figures tell how far two halves differ by themselves. The same transactions as above, 8 sessions at full speed, 16 at an offered rate.',
    "*The engine's receiver alone*: pg_receivewal or mysqlbinlog writing plain files on the other core. Binary logs and WAL are written in all windows.",
    '*Disk*: the source syncs each commit, as in production. *Memory*: nothing waits for a disk, so that the one core is always busy. The processor time is that of',
    "the server's processes, senders of the log among them; what the kernel does for the loopback connection outside of them is not in it.",
  ];
}
