import { setTimeout as sleep } from 'node:timers/promises';
import { TidemarkError } from '../domain/errors.js';
import { isListening } from '../platform/ports.js';
import type { Child, ChildExit } from '../platform/spawn-child.js';

/**
 * Waits until the child listens on `port`, then repeats `check` until it succeeds. When the child ends first, or the time (ms) is over, the child is ended and `component_failed` thrown
 * with the end of what it said.
 */
export async function waitUntilHealthy(
  child: Child,
  check: () => Promise<void>,
  options: { readonly timeoutMs: number; readonly logFile: string; readonly port: number },
): Promise<void> {
  const end = Date.now() + options.timeoutMs;
  let exit: ChildExit | undefined;
  void child.exited.then((result) => {
    exit = result;
  });
  for (let pause = 30; ; pause = Math.min(pause * 1.5, 300)) {
    let reason: string;
    try {
      if (child.pid === undefined || !isListening(child.pid, options.port)) throw new Error('it does not listen yet');
      await check();
      if (exit === undefined) return;
      reason = '';
    } catch (error) {
      reason = error instanceof Error ? error.message : String(error);
    }
    if (exit === undefined && Date.now() < end) {
      await sleep(pause);
      continue;
    }
    const ended = exit ?? (await child.kill());
    const what = exit
      ? `ended (${ended.code ?? ended.signal})`
      : `was not ready within ${options.timeoutMs / 1000} s: ${reason}`;
    const said = ended.stderr.trim().split('\n').slice(-4).join(' | ');
    throw new TidemarkError(
      'component_failed',
      `${child.label} ${what}; it said: ${said || 'nothing'} (log: ${options.logFile})`,
    );
  }
}
