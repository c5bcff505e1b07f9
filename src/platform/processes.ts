/** Recognising processes across restarts of ours: a pid alone is reused by the kernel, so it is kept with its start time. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';

/** One process, now or later: pid, its start in clock ticks since boot, and which boot that was. */
export const processMarkSchema = z.object({ pid: z.int().positive(), start: z.string() });
export type ProcessMark = z.infer<typeof processMarkSchema>;

/** The mark of a running process; null when there is none of that id, or only its zombie. */
export function markProcess(pid: number): ProcessMark | null {
  const stat = readStat(pid);
  if (!stat || stat.state === 'Z' || stat.state === 'X') return null;
  return { pid, start: `${bootId()}/${stat.startTicks}` };
}

/** True when exactly this process still runs. */
export function isRunning(mark: ProcessMark): boolean {
  return markProcess(mark.pid)?.start === mark.start;
}

/** Children, their children and so on, as seen now. */
export function findDescendants(pid: number): ProcessMark[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = readStat(Number(name));
    if (!stat) continue;
    const siblings = children.get(stat.parent);
    if (siblings) siblings.push(Number(name));
    else children.set(stat.parent, [Number(name)]);
  }
  const found: ProcessMark[] = [];
  const queue = [pid];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    for (const child of children.get(next) ?? []) {
      queue.push(child);
      const mark = markProcess(child);
      if (mark) found.push(mark);
    }
  }
  return found;
}

/** Its arguments, one per element; empty when it is gone, belongs to the kernel, or may not be seen. */
export function readCommandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
  } catch {
    return [];
  }
}

/** Sends a signal to exactly this process; a process that has ended in the meantime is no error. */
export function signalProcess(mark: ProcessMark, signal: NodeJS.Signals): void {
  if (!isRunning(mark)) return;
  try {
    process.kill(mark.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Waits until none of them runs; false when the time (ms) is over first. */
export async function waitForEnd(marks: readonly ProcessMark[], timeoutMs: number): Promise<boolean> {
  const end = Date.now() + timeoutMs;
  while (marks.some(isRunning)) {
    if (Date.now() >= end) return false;
    await sleep(20);
  }
  return true;
}

/** Ends a process and everything below it: `signal`, and after `graceMs` SIGKILL for all that is left. */
export async function endProcessTree(mark: ProcessMark, signal: NodeJS.Signals, graceMs: number): Promise<void> {
  const tree = [mark, ...findDescendants(mark.pid)];
  signalProcess(mark, signal);
  if (signal !== 'SIGKILL' && (await waitForEnd(tree, graceMs))) return;
  for (const member of tree) signalProcess(member, 'SIGKILL');
  await waitForEnd(tree, 10_000);
}

function readStat(pid: number): { state: string; parent: number; startTicks: string } | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name (field 2) may hold spaces and parentheses: fields are counted from its last ')'. proc(5): state 3, ppid 4, starttime 22.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const [state, parent, startTicks] = [fields[0], fields[1], fields[19]];
    return state && parent && startTicks ? { state, parent: Number(parent), startTicks } : null;
  } catch {
    return null;
  }
}

let boot: string | undefined;
function bootId(): string {
  boot ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return boot;
}
