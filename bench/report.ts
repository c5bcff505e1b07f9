/** Numbers and tables that the benches have in common. */
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2;
}

/** The value below which a share of the values lies, the nearest there is. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

/** Median of the ratios within a round: what slows a whole round down is in both of its numbers. */
export const pairedRatio = (values: readonly number[], peers: readonly number[]) =>
  median(values.map((value, round) => value / (peers[round] ?? Number.NaN)));

export const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
export const mebibytes = (bytes: number) => `${(bytes / 1024 / 1024).toFixed(bytes < 10 * 1024 * 1024 ? 1 : 0)} MiB`;
export const ratio = (value: number) => value.toFixed(2);
export const percent = (share: number) => `${(share * 100).toFixed(1)} %`;

const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;

export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string[] {
  return [line(headings), line(headings.map(() => '---')), ...rows.map(line)];
}

/** Where and when, as each section of the report begins. */
export function machine(command: string): string[] {
  return [
    `\`${command}\` on ${new Date().toISOString().slice(0, 10)}: ${cpus().length} cores (${cpus()[0]?.model.trim()}),`,
    `${(totalmem() / 1024 ** 3).toFixed(0)} GiB of memory, Node ${process.versions.node}.`,
  ];
}

/** Puts a section into docs/performance.md, in the place of the one of this name. */
export function writeSection(name: string, lines: readonly string[]): void {
  const path = fileURLToPath(new URL('../docs/performance.md', import.meta.url));
  const section = [`<!-- bench:${name} -->`, ...lines, `<!-- /bench:${name} -->`].join('\n');
  const present = readFileSync(path, 'utf8');
  const block = new RegExp(`<!-- bench:${name} -->[\\s\\S]*<!-- /bench:${name} -->`);
  writeFileSync(
    path,
    block.test(present) ? present.replace(block, () => section) : `${present.trimEnd()}\n\n${section}\n`,
  );
  console.log(`written: ${path} (${name})`);
}
