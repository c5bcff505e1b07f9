import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import type { RoundResult } from './round.js';
import type { Watch } from './watch.js';
import { quantile } from './watch.js';

export function describeRound(round: number, result: RoundResult, roundMs: number): string {
  const { product, action, outcome, note, disturbances, slowestWriteMs } = result;
  const trouble = disturbances.length === 0 ? '' : ` + ${disturbances.map(({ text }) => text).join(' + ')}`;
  const code = outcome.code === null ? '' : ` (${outcome.code})`;
  const write = slowestWriteMs === null ? '' : `, slowest write ${Math.round(slowestWriteMs)} ms`;
  const more = note === '' ? '' : `, ${note}`;
  return `${String(round).padStart(4)}  ${product.padEnd(11)}  ${action}${trouble} -> ${outcome.status}${code} in ${seconds(outcome.settleMs)}${write}${more} [round ${seconds(roundMs)}]`;
}

export type Summary = {
  readonly seed: number;
  readonly minutes: number;
  readonly ranMs: number;
  readonly command: string;
  readonly results: readonly RoundResult[];
  readonly memory: ReturnType<Watch['memory']>;
  readonly skipped: readonly string[];
  /** What a reader must know about this run, or undefined. */
  readonly note: string | undefined;
};

/** The figures as Markdown: what the end of a run prints and what the docs keep. */
export function summarize({ seed, minutes, ranMs, command, results, memory, skipped, note }: Summary): string {
  const settle = results.map((result) => result.outcome.settleMs);
  const calm = results.flatMap(({ slowestWriteMs, disturbances }) =>
    slowestWriteMs === null || disturbances.length > 0 ? [] : [slowestWriteMs],
  );
  const besideSelect = results.flatMap(({ action, slowestWriteMs }) =>
    action === 'long select' && slowestWriteMs !== null ? [slowestWriteMs] : [],
  );
  const lines = [
    `| figure | value |`,
    `|---|---|`,
    `| command | \`${command}\` |`,
    `| date | ${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC |`,
    `| machine | ${availableParallelism()} cores, load ${loadavg()[0]?.toFixed(1)} at the end |`,
    ...(note === undefined ? [] : [`| note | ${note} |`]),
    `| asked for, ran | ${minutes} min, ${(ranMs / 60_000).toFixed(1)} min |`,
    `| seed | ${seed} |`,
    `| rounds, all invariants held after each | ${results.length} |`,
    `| settle time p50, p95, longest | ${[0.5, 0.95, 1].map((q) => seconds(quantile(settle, q))).join(', ')} |`,
    `| slowest write, rounds without a disturbance | ${milliseconds(calm)} |`,
    `| slowest write while a dump started beside a 60 s SELECT | ${milliseconds(besideSelect)} |`,
    `| worker memory (RSS): first fifth, last fifth (medians), highest | ${[memory.early, memory.late, memory.max].map((mib) => `${Math.round(mib)} MiB`).join(', ')} |`,
    ...skipped.map((reason) => `| left out | ${reason} |`),
    '',
    ...table(
      'result',
      [...new Set(results.map(({ product }) => product))].sort(),
      results.map((result) => [
        `${result.action}: ${result.outcome.status}${result.outcome.code === null ? '' : ` (${result.outcome.code})`}`,
        result.product,
      ]),
    ),
    '',
    ...table(
      'disturbance',
      ['times'],
      results.flatMap(({ disturbances }) => disturbances.map(({ what }) => [what, 'times'] as const)),
    ),
  ];
  return lines.join('\n');
}

function table(
  title: string,
  columns: readonly string[],
  cells: readonly (readonly [string, string] | readonly string[])[],
): string[] {
  const counts = new Map<string, Map<string, number>>();
  for (const [row = '', column = ''] of cells) {
    const found = counts.get(row) ?? new Map<string, number>();
    found.set(column, (found.get(column) ?? 0) + 1);
    counts.set(row, found);
  }
  return [
    `| ${[title, ...columns].join(' | ')} |`,
    `|${'---|'.repeat(columns.length + 1)}`,
    ...[...counts]
      .sort(([a], [b]) => a.localeCompare(b))
      .map(([row, found]) => `| ${[row, ...columns.map((column) => found.get(column) ?? '')].join(' | ')} |`),
  ];
}

/** Puts the figures in place of the former ones of the same subject; behind everything else where there are none yet. */
export function writeFigures(path: string, figures: string, subject?: string): void {
  const begin = `<!-- figures${subject === undefined ? '' : ` of ${subject}`}: written by npm run soak -->`;
  const end = '<!-- end of figures -->';
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '# Soak\n';
  const at = text.indexOf(begin);
  if (at < 0) {
    writeFileSync(path, `${text.trimEnd()}\n\n${begin}\n${figures}\n${end}\n`);
    return;
  }
  const after = text.indexOf(end, at);
  const rest = after < 0 ? '\n' : text.slice(after + end.length);
  writeFileSync(path, `${text.slice(0, at)}${begin}\n${figures}\n${end}${rest}`);
}

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
const milliseconds = (values: readonly number[]) =>
  values.length === 0 ? 'not measured' : `${Math.round(Math.max(...values))} ms`;
