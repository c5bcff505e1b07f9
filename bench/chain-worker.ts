/**
 * One backup, recovery or log archive as a worker makes it, in a process of its own: the functions that the activities call, with the store
 * and the keys, and without Temporal and the catalog. Reads its task from standard input and prints its figures as lines of JSON; the
 * clock starts when the program is loaded.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { archiveLog } from './chain-follow.js';
import { recoverLatest } from './chain-recover.js';
import type { ChainSite } from './chain-site.js';
import { takeBackup } from './chain-take.js';

export type ChainTask = { readonly site: ChainSite } & (
  | { readonly act: 'take'; readonly parentId: string | null; readonly fingerprint: boolean }
  | {
      readonly act: 'recover';
      readonly target: 'latest' | 'end_of_backup';
      readonly check: string;
      readonly deliver: boolean;
    }
  | { readonly act: 'follow'; readonly spoolDir: string; readonly epoch: number }
);

const task = JSON.parse(await text(process.stdin)) as ChainTask;
const scratchDir = mkdtempSync(join(tmpdir(), 'tm-bench-'));
const stopping = new AbortController();
process.once('SIGTERM', () => stopping.abort());
const context = { signal: stopping.signal, scratchDir, toolRoots: task.site.toolRoots };
const tell = (figures: unknown) => process.stdout.write(`${JSON.stringify(figures)}\n`);
try {
  if (task.act === 'take') tell(await takeBackup(task.site, context, task));
  else if (task.act === 'recover') tell(await recoverLatest(task.site, context, task));
  else await archiveLog(task.site, context, task, tell);
} finally {
  rmSync(scratchDir, { recursive: true, force: true });
}
