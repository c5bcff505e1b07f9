import { join } from 'node:path';
import Table from 'cli-table3';
import type { RunInfo } from '../../src/embedded/run-file.js';
import type { DemoResult } from './protect-source.js';
import type { MomentResult } from './recover-moment.js';

/** The table at the end of the demo: one line per engine, with what was compared and how it was proven. */
export function printResults(results: readonly DemoResult[]): void {
  const table = new Table({
    head: ['engine', 'backup', 'stored', 'time', 'restored as', 'tables', 'rows', 'compared', 'proof'],
    colAligns: ['left', 'left', 'right', 'right', 'left', 'right', 'right', 'left', 'left'],
    style: { head: [], border: [] },
  });
  for (const result of results) {
    table.push([
      result.title,
      result.backupId,
      `${(result.storedBytes / 1024 / 1024).toFixed(1)} MiB`,
      `${result.seconds.toFixed(1)} s`,
      result.restoredName,
      result.tables,
      BigInt(result.rows).toLocaleString('en'),
      result.equal ? 'equal' : 'DIFFERENT',
      result.proof ?? 'none',
    ]);
  }
  console.log(`\n${table.toString()}`);
  console.log('Stored in:');
  for (const result of results) console.log(`  ${result.title}: ${result.place}`);
}

/** The second table: one line per engine, with the moment, what the source held around it, and what the recovery found. */
export function printMoments(results: readonly MomentResult[]): void {
  const table = new Table({
    head: ['engine', 'moment', 'rows then', 'after', 'in source now', 'recovered as', 'found', 'rows', 'proof', 'time'],
    colAligns: ['left', 'left', 'right', 'right', 'right', 'left', 'right', 'left', 'left', 'right'],
    style: { head: [], border: [] },
  });
  for (const result of results) {
    table.push([
      result.title,
      result.moment,
      result.before,
      `+${result.after}`,
      result.left,
      result.restoredName,
      result.found,
      result.exact ? 'exact' : 'DIFFERENT',
      result.proof ?? 'none',
      `${result.seconds.toFixed(1)} s`,
    ]);
  }
  console.log(`\n${table.toString()}`);
}

export function printAddresses(run: RunInfo, home: string): void {
  console.log(`\nAPI docs         ${run.docs}`);
  console.log(`Temporal Web UI  ${run.temporalUi}`);
  console.log(`Mail             ${run.mail?.view}`);
  console.log(`Admin            ${join(home, 'admin-credentials')}`);
}
