/** Keeps one component running: starts it, looks whether it is well, starts it again when it is not. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../platform/logger.js';
import type { ComponentDefinition, RunningComponent } from './component.js';

export type SuperviseTimings = {
  /** Between two health checks, in ms. */
  readonly checkEveryMs: number;
  /** So many checks in a row must fail before it is killed and started again. */
  readonly failuresBeforeRestart: number;
  /** First pause before a restart; doubles with each death. */
  readonly firstPauseMs: number;
  readonly longestPauseMs: number;
  /** After so long without a death the pause is the first one again. */
  readonly calmAfterMs: number;
};

export const defaultTimings: SuperviseTimings = {
  checkEveryMs: 5_000,
  // 30 s of a hanging component: longer than any stall of a busy machine that is worth keeping.
  failuresBeforeRestart: 6,
  firstPauseMs: 200,
  longestPauseMs: 15_000,
  calmAfterMs: 60_000,
};

export interface Supervised {
  readonly name: ComponentDefinition['name'];
  /** Of the process that runs now; undefined while it is down, or runs inside this process. */
  readonly pid: number | undefined;
  readonly up: boolean;
  /** How often it was started again. */
  readonly restarts: number;
  /** Why it is down; null while it is up. */
  readonly lastError: string | null;
  /** Stops it for good. */
  stop(): Promise<void>;
  /** As `stop`, without waiting for good manners. */
  kill(): Promise<void>;
}

/** Starts the component (a first start that fails is thrown) and watches it until `stop`. `onChange` is called after each start. */
export async function supervise(
  definition: ComponentDefinition,
  logger: Logger,
  onChange: () => void = () => {},
  timings: SuperviseTimings = defaultTimings,
): Promise<Supervised> {
  const stopping = new AbortController();
  let running: RunningComponent | undefined = await definition.start();
  let restarts = 0;
  let lastError: string | null = null;
  const log = logger.child({ component: definition.name });
  log.info({ componentPid: running.pid }, `${definition.name} is up`);

  const watch = async (): Promise<void> => {
    let pause = timings.firstPauseMs;
    let startedAt = Date.now();
    while (!stopping.signal.aborted) {
      if (running) {
        const reason = await waitForTrouble(running, stopping.signal, timings);
        if (stopping.signal.aborted) return;
        lastError = reason;
        log.error({ reason }, `${definition.name} is down and will be started again`);
        const dead = running;
        running = undefined;
        await dead.kill();
        if (Date.now() - startedAt > timings.calmAfterMs) pause = timings.firstPauseMs;
      }
      await sleep(pause, undefined, { signal: stopping.signal }).catch(() => {});
      if (stopping.signal.aborted) return;
      pause = Math.min(pause * 2, timings.longestPauseMs);
      try {
        const next = await definition.start();
        running = next;
        startedAt = Date.now();
        restarts += 1;
        lastError = null;
        log.info({ componentPid: next.pid, restarts }, `${definition.name} is up again`);
        onChange();
      } catch (error) {
        lastError = error instanceof Error ? error.message : String(error);
        log.error({ err: error, nextTryInMs: pause }, `${definition.name} could not be started again`);
      }
    }
  };
  const watching = watch().catch((error: unknown) =>
    log.fatal({ err: error }, `nobody watches ${definition.name} any more`),
  );

  const finish = async (how: 'stop' | 'kill'): Promise<void> => {
    stopping.abort();
    // Killed at once; but a start that is under way must come to its end first, else its process would be left behind.
    if (how === 'kill') await running?.kill();
    await watching;
    await running?.[how]();
    running = undefined;
  };

  return {
    name: definition.name,
    get pid() {
      return running?.pid;
    },
    get up() {
      return running !== undefined;
    },
    get restarts() {
      return restarts;
    },
    get lastError() {
      return lastError;
    },
    stop: () => finish('stop'),
    kill: () => finish('kill'),
  };
}

/** Resolves with the reason when the component ended or has been unwell for too long; with nothing of meaning when `signal` aborts. */
async function waitForTrouble(
  running: RunningComponent,
  signal: AbortSignal,
  timings: SuperviseTimings,
): Promise<string> {
  let ended: string | undefined;
  const end = running.exited.then((exit) => {
    const said = exit.stderr.trim().split('\n').slice(-3).join(' | ');
    ended = `it ended (${exit.code ?? exit.signal})${said ? `: ${said}` : ''}`;
  });
  let failures = 0;
  for (;;) {
    await Promise.race([end, sleep(timings.checkEveryMs, undefined, { signal }).catch(() => {})]);
    if (ended !== undefined || signal.aborted) return ended ?? '';
    try {
      await Promise.race([running.check(), end]);
      failures = 0;
    } catch (error) {
      failures += 1;
      const reason = error instanceof Error ? error.message : String(error);
      if (failures >= timings.failuresBeforeRestart) return `it did not answer ${failures} times: ${reason}`;
    }
    if (ended !== undefined || signal.aborted) return ended ?? '';
  }
}
