import { availableParallelism, loadavg } from 'node:os';
import { quantile } from '../watch.js';
import { killSorts } from './kills.js';
import { pointSorts } from './points.js';
import type { ChainResults } from './run-chains.js';

export type ChainSummary = {
  readonly results: ChainResults;
  readonly command: string;
  readonly commit: string;
  /** Of several runs added up: each of theirs. */
  readonly seed: number | string;
  readonly points: number;
  readonly kills: number;
  readonly minutes: number;
  readonly note: string | undefined;
  readonly endedEarly: boolean;
};

/** The figures as Markdown: what the end of a run prints and what the docs keep. */
export function summarizeChains(summary: ChainSummary): string {
  const { results, command, commit, seed, points, kills, minutes, note, endedEarly } = summary;
  const { products } = results;
  const row = (title: string, cell: (product: (typeof products)[number]) => string | number) =>
    `| ${[title, ...products.map((product) => String(cell(product)))].join(' | ')} |`;
  const pointsOf = (product: (typeof products)[number]) => results.points.get(product) ?? [];
  const killsOf = (product: (typeof products)[number]) => results.kills.get(product) ?? [];
  const restored = (product: (typeof products)[number]) =>
    pointsOf(product).flatMap(({ outcome, ms }) => (outcome === 'exact' ? [ms] : []));
  const backupSorts = new Set([...results.backups.values()].flat().map(backupText));
  const givenUp = new Set(
    [...results.points.values()].flat().flatMap(({ outcome, code }) => (outcome === 'given up' ? [code ?? ''] : [])),
  );
  const table = (title: string) => [
    `| ${[title, ...products].join(' | ')} |`,
    `|${'---|'.repeat(products.length + 1)}`,
  ];
  return [
    '| figure | value |',
    '|---|---|',
    `| command | \`${command}\` |`,
    `| commit | ${commit} |`,
    `| date | ${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC |`,
    `| machine | ${availableParallelism()} cores, load ${loadavg()[0]?.toFixed(1)} at the end |`,
    ...(note === undefined ? [] : [`| note | ${note} |`]),
    `| asked for | ${points} points and ${kills} kills per server within ${minutes} min |`,
    `| ran | ${(results.ranMs / 60_000).toFixed(1)} min${endedEarly ? ', ended early by a person' : ''} |`,
    `| seed | ${seed} |`,
    `| gaps noted | ${results.gaps.length === 0 ? 'none' : results.gaps.map(({ product, code, message }) => `${product}: ${code}: ${message}`).join('; ')} |`,
    `| what must hold at the end | ${results.closed ? 'all of it held' : 'not all of it was found to hold'} |`,
    ...results.faults.map((fault) => `| did not hold | ${fault.replaceAll('|', '\\|').replaceAll('\n', ' ')} |`),
    '',
    ...table('points, every row compared'),
    ...pointSorts.map((sort) =>
      row(sort, (product) => {
        const settled = pointsOf(product).filter((point) => point.sort === sort && point.outcome !== 'given up').length;
        return settled === 0 ? '' : settled;
      }),
    ),
    row('all', (product) => pointsOf(product).filter(({ outcome }) => outcome !== 'given up').length),
    ...[...givenUp].map((code) =>
      row(`given up in kills and asked anew (${code})`, (product) => {
        const times = pointsOf(product).filter((point) => point.outcome === 'given up' && point.code === code).length;
        return times === 0 ? '' : times;
      }),
    ),
    row('restored although something was killed while it ran', (product) => {
      const kills = killsOf(product);
      return pointsOf(product).filter(
        ({ outcome, ms, settledAt }) =>
          outcome === 'exact' && kills.some(({ at }) => at > settledAt - ms && at < settledAt),
      ).length;
    }),
    row('restore, median', (product) => seconds(quantile(restored(product), 0.5))),
    row('restore, longest', (product) => seconds(Math.max(0, ...restored(product)))),
    row('transactions of the application', (product) => results.written.get(product)?.own ?? ''),
    row('transactions beside it', (product) => results.written.get(product)?.others ?? ''),
    '',
    ...table('`kill -9`: times (followed again after: median, longest)'),
    ...killSorts.map((sort) =>
      row(sort, (product) => {
        const times = killsOf(product).flatMap((kill) => (kill.sort === sort ? [kill.followedAgainMs] : []));
        if (times.length === 0) return '';
        return `${times.length} (${seconds(quantile(times, 0.5))}, ${seconds(Math.max(...times))})`;
      }),
    ),
    row('all', (product) => killsOf(product).length),
    '',
    ...table('backups asked for meanwhile'),
    ...[...backupSorts].sort().map((sort) =>
      row(sort, (product) => {
        const times = (results.backups.get(product) ?? []).filter((one) => backupText(one) === sort).length;
        return times === 0 ? '' : times;
      }),
    ),
  ].join('\n');
}

const backupText = ({ kind, status, code }: { kind: string; status: string; code: string | null }) =>
  `${kind}: ${status}${code === null ? '' : ` (${code})`}`;

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
