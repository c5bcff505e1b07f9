import { join } from 'node:path';
import { TidemarkError } from '../../../domain/errors.js';
import type { ProcessMark } from '../../../platform/processes.js';
import { endProcessTree, findDescendants, markProcess, waitForEnd } from '../../../platform/processes.js';
import type { Child, ChildExit } from '../../../platform/spawn-child.js';
import { spawnChild } from '../../../platform/spawn-child.js';
import { toolCommand } from '../../shared/find-tools.js';
import { forgetSandbox, recordSandbox } from '../../shared/sandbox-state.js';
import { lastLines } from '../snapshot.js';
import { RecoveryLog } from './recovery-log.js';
import type { SandboxPlace } from './sandbox-place.js';

export type RunningSandbox = { readonly log: RecoveryLog; readonly child: Child; stop(): Promise<void> };

/** The log ended before the target: on an idle source that is no lack, elsewhere it is. The caller knows where the log ends. */
export class EndedBeforeTarget extends Error {}

/** Starts the server in the foreground and waits until recovery is over and it takes connections. */
export async function runSandbox(
  place: SandboxPlace,
  options: {
    readonly configFile: string;
    readonly localePath: string | null;
    readonly onProgress: (lsn: string) => void;
  },
): Promise<RunningSandbox> {
  let ready = () => {};
  const isReady = new Promise<'ready'>((resolve) => {
    ready = () => resolve('ready');
  });
  const log = new RecoveryLog(() => ready(), options.onProgress);
  const child = spawnChild({
    command: toolCommand(place.programs, 'postgres'),
    args: ['-D', place.data, '-c', `config_file=${options.configFile}`],
    env: {
      HOME: join(place.dir, 'home'),
      LC_ALL: 'C',
      TZ: 'UTC',
      ...(options.localePath === null ? {} : { LOCPATH: options.localePath }),
    },
    cwd: place.data,
    stdout: 'ignore',
    // Immediate: nothing of it is needed again.
    stopSignal: 'SIGQUIT',
    graceMs: 10_000,
    label: 'the sandbox server',
    signal: place.signal,
    onLine: (line) => log.add(line),
    ...(place.user ? { user: place.user } : {}),
  });
  if (child.pid !== undefined) recordSandbox(place.dir, child.pid);
  const stop = async () => {
    const mark = child.pid === undefined ? null : markProcess(child.pid);
    const below: ProcessMark[] = mark === null ? [] : findDescendants(mark.pid);
    await child.kill();
    // They lead process groups of their own; one that hangs would keep files of the folder open.
    if (!(await waitForEnd(below, 2_000))) for (const process of below) await endProcessTree(process, 'SIGKILL', 0);
    forgetSandbox(place.dir);
  };
  const first = await Promise.race([isReady, child.exited]);
  if (first === 'ready') return { log, child, stop };
  await stop();
  throw explainExit(first, place.signal);
}

function explainExit(exit: ChildExit, signal: AbortSignal): Error {
  if (signal.aborted) return new TidemarkError('cancelled', 'The run was cancelled.');
  const { stderr } = exit;
  if (/recovery ended before configured recovery target was reached/.test(stderr))
    return new EndedBeforeTarget(lastLines(stderr));
  const words = lastLines(
    stderr
      .split('\n')
      .filter((line) => /^(FATAL|PANIC|ERROR|DETAIL|HINT|CONTEXT)/.test(line))
      .join('\n') || stderr,
  );
  if (/requested recovery stop point is before consistent recovery point/.test(stderr))
    return new TidemarkError('outside_window', `The point lies before the end of the backup: ${words}`);
  if (
    /could not locate (a valid checkpoint|required checkpoint) record|WAL ends before (end of online backup|consistent recovery point)/.test(
      stderr,
    )
  )
    return new TidemarkError('recovery_incomplete', `The log that the backup needs is not there: ${words}`);
  if (/No space left on device/.test(stderr))
    return new TidemarkError('sandbox_space', `The sandbox ran full: ${words}`);
  const how = exit.signal ? `was ended by ${exit.signal}` : `ended with code ${exit.code}`;
  return new TidemarkError(
    'sandbox_failed',
    `The sandbox server ${how} before it was ready: ${words || 'no reason given'}`,
  );
}
