import { setTimeout as sleep } from 'node:timers/promises';
import { isListening } from '../platform/ports.js';
import type { Child, ChildExit } from '../platform/spawn-child.js';

/** Repeats `login` until it works. null when it does; else why it does not, in words for a person. */
export async function waitUntilLogin(
  child: Child,
  port: number,
  login: () => Promise<void>,
  timeoutMs: number,
): Promise<string | null> {
  const end = Date.now() + timeoutMs;
  let exit: ChildExit | undefined;
  void child.exited.then((result) => {
    exit = result;
  });
  for (let pause = 20; ; pause = Math.min(pause * 1.5, 250)) {
    let last: unknown;
    try {
      if (child.pid === undefined || !isListening(child.pid, port)) throw new Error('it does not listen yet');
      await login();
      if (exit === undefined) return null;
    } catch (error) {
      last = error;
    }
    if (exit !== undefined) return `it ended (${exit.code ?? exit.signal}): ${lastLines(exit.stderr)}`;
    if (Date.now() > end) {
      const reason = last instanceof Error ? last.message : String(last);
      return `nobody could log in within ${timeoutMs / 1000} s: ${reason}; ${lastLines(child.stderrTail())}`;
    }
    await sleep(pause);
  }
}

function lastLines(text: string): string {
  return text.trim().split('\n').slice(-8).join(' | ');
}
