/** What an archive costs its source: transactions per second with and without it, beside windows that differ in nothing. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { engineProductTitles } from '../src/platform/installed.js';
import { SOURCE_CORE, TIDEMARK_CORE } from './chain-latency.js';
import { pin, startFollower } from './chain-launch.js';
import type { LoadedSource, LoadProduct } from './load.js';
import { runLoad, withSource } from './load.js';
import { median, percent, table } from './report.js';
import type { TlsStore } from './tls-store.js';

/** Per round; `on` follows `off`, `control` follows `off2`. */
const windows = ['off', 'on', 'off2', 'control'] as const;
type Window = (typeof windows)[number];
export type ThroughputResult = { readonly product: LoadProduct; readonly rates: Record<Window, number[]> };

type Options = { readonly store: TlsStore; readonly dir: string; readonly windowMs: number; readonly rounds: number };

export async function benchThroughput(product: LoadProduct, options: Options): Promise<ThroughputResult> {
  pin(options.store.pid, TIDEMARK_CORE);
  return await withSource(product, { ...options, core: SOURCE_CORE }, async (source) => {
    const rates: ThroughputResult['rates'] = { off: [], on: [], off2: [], control: [] };
    // Unmeasured: the first windows of a new server are its fastest or slowest.
    await rate(source, options.windowMs);
    for (let round = 0; round < options.rounds; round += 1) {
      for (const window of round % 2 === 0 ? windows : [...windows].reverse()) {
        const found =
          window === 'on' ? await archived(product, source, round, options) : await rate(source, options.windowMs);
        rates[window].push(found);
        console.log(`  ${engineProductTitles[product]} round ${round + 1} ${window}: ${found.toFixed(0)}/s`);
      }
    }
    return { product, rates };
  });
}

async function rate({ site }: LoadedSource, windowMs: number): Promise<number> {
  const task = { connection: site.connection, sessions: 8, rate: null, forMs: windowMs };
  const { sentAt, wallMs } = await runLoad(task, SOURCE_CORE);
  return sentAt.length / (wallMs / 1000);
}

async function archived(product: LoadProduct, source: LoadedSource, epoch: number, options: Options): Promise<number> {
  const spoolDir = join(options.dir, `spool-${product}-${epoch}`);
  const task = { act: 'follow', site: source.site, epoch, spoolDir } as const;
  const follower = startFollower(task, options.store, TIDEMARK_CORE);
  try {
    await follower.receiving();
    return await rate(source, options.windowMs);
  } finally {
    await follower.stop();
    rmSync(spoolDir, { recursive: true, force: true });
  }
}

export function throughputSection(results: readonly ThroughputResult[], windowMs: number): string[] {
  const loss = (rates: readonly number[], beside: readonly number[]) =>
    median(rates.map((value, round) => 1 - value / (beside[round] ?? Number.NaN)));
  const all = (rates: readonly number[], beside: readonly number[]) =>
    rates.map((value, round) => percent(1 - value / (beside[round] ?? Number.NaN))).join(', ');
  return [
    ...table(
      [
        'loss of throughput',
        'without',
        'with the archive',
        'loss',
        'in each round',
        'A/A control',
        'in each round',
        'target',
      ],
      results.map(({ product, rates }) => [
        engineProductTitles[product],
        `${median(rates.off).toFixed(0)}/s`,
        `${median(rates.on).toFixed(0)}/s`,
        percent(loss(rates.on, rates.off)),
        all(rates.on, rates.off),
        percent(loss(rates.control, rates.off2)),
        all(rates.control, rates.off2),
        '5 %',
      ]),
    ),
    '',
    `Windows of ${windowMs / 1000} s at full speed, 8 sessions, the same transactions, cores as above. In the control neither window has an archive. Binary logs and WAL are written in all of them.`,
  ];
}
