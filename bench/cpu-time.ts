import { readdirSync, readFileSync } from 'node:fs';
import { findDescendants } from '../src/platform/processes.js';

/** Linux counts process times in hundredths of a second, whatever the kernel's own tick. */
const MS_PER_TICK = 10;

/** The fields of /proc/<pid>/stat after the program's name, which may itself hold spaces and brackets. */
function statFields(pid: number | 'self'): number[] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
}

/** User and system time of a process and of all its children that have ended, in milliseconds. */
export function cpuMsOf(pid: number | 'self'): number {
  const [user = 0, system = 0, childUser = 0, childSystem = 0] = statFields(pid).slice(11, 15);
  return (user + system + childUser + childSystem) * MS_PER_TICK;
}

/** User and system time of the ended children of this process alone, in milliseconds. */
export function cpuMsOfChildren(): number {
  const [user = 0, system = 0] = statFields('self').slice(13, 15);
  return (user + system) * MS_PER_TICK;
}

/** Processor time of a server's processes that are running, in milliseconds, to the microsecond. One that ended is not in it. */
export function serverCpuMs(pid: number): number {
  let nanoseconds = 0;
  for (const one of [pid, ...findDescendants(pid).map((mark) => mark.pid)]) {
    try {
      for (const thread of readdirSync(`/proc/${one}/task`))
        nanoseconds += Number(readFileSync(`/proc/${one}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
    } catch {
      // It ended just now.
    }
  }
  return nanoseconds / 1e6;
}
