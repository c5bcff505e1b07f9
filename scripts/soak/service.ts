import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServiceProcess } from '../lib/service-process.js';
import { startServiceProcess } from '../lib/service-process.js';
import { Broken } from './broken.js';

/** The service under test, which is killed and started again, and its API as a patient user's script sees it. */
export type SoakService = {
  readonly home: string;
  readonly token: string;
  readonly process: ServiceProcess;
  /**
   * Waits out restarts, 5xx and 429, at most three minutes. A repeated POST carries the same idempotency key; where its first try died after
   * it had made the run, the answer is that run.
   */
  request<T>(method: string, path: string, body?: unknown): Promise<Answer<T>>;
  /** As `request`; an answer that is no success breaks the soak. */
  call<T>(method: string, path: string, body?: unknown): Promise<T>;
  /** Reads `path` every 100 ms, or as told, until `settled`; a run that does not settle breaks the soak. */
  untilSettled<T>(path: string, settled: (reading: T) => boolean, withinMs: number, everyMs?: number): Promise<T>;
  /** Reads `path` until it answers 404. */
  untilGone(path: string, withinMs: number): Promise<void>;
  killAndRestart(between?: () => void | Promise<void>): Promise<void>;
  stopAndRestart(between?: () => void | Promise<void>): Promise<void>;
  stop(): Promise<void>;
};

export type Answer<T> = { readonly status: number; readonly body: T };

const PATIENCE_MS = 180_000;

export async function startSoakService(options: {
  home: string;
  env: Readonly<Record<string, string>>;
  signal: AbortSignal;
}): Promise<SoakService> {
  let service = await startServiceProcess(options);
  const { token } = service;
  // While it is down its run.json still names the port it had, which another program may take: nothing is sent there until it is up again.
  let up: Promise<unknown> = Promise.resolve();
  const restart = (end: () => Promise<void>, between?: () => void | Promise<void>) => {
    const restarted = (async () => {
      await end();
      await between?.();
      service = await startServiceProcess({ ...options, token });
    })();
    up = restarted.catch(() => {});
    return restarted;
  };

  async function request<T>(method: string, path: string, body?: unknown): Promise<Answer<T>> {
    const giveUpAt = Date.now() + PATIENCE_MS;
    const key = randomUUID();
    for (let tries = 1; ; tries += 1) {
      options.signal.throwIfAborted();
      let trouble: string;
      await up;
      try {
        const response = await fetch(new URL(path, service.run().api), {
          method,
          headers: {
            authorization: `Bearer ${token}`,
            ...(body === undefined ? {} : { 'content-type': 'application/json' }),
            ...(method === 'POST' ? { 'idempotency-key': key } : {}),
          },
          body: body === undefined ? null : JSON.stringify(body),
          signal: AbortSignal.timeout(60_000),
        });
        const text = await response.text();
        // 409 with Retry-After: the service was killed while it carried the same request out; the key frees itself after two minutes.
        const again = response.status === 429 || (response.status === 409 && response.headers.has('retry-after'));
        if (response.status < 500 && !again) {
          const answer = text === '' ? null : JSON.parse(text);
          if (tries > 1 && answer?.code === 'run_in_progress' && answer.references?.length === 1)
            return { status: 202, body: { id: answer.references[0] } as T };
          return { status: response.status, body: answer as T };
        }
        trouble = `${response.status} ${text.slice(0, 300)}`;
        if (response.status === 500) throw new Broken(`${method} ${path} answered ${trouble}`);
      } catch (error) {
        if (error instanceof Broken) throw error;
        trouble = error instanceof Error ? error.message : String(error);
      }
      if (Date.now() > giveUpAt) throw new Broken(`${method} ${path} failed for three minutes: ${trouble}`);
      await sleep(400);
    }
  }

  async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await request<T>(method, path, body);
    if (answer.status >= 400)
      throw new Broken(`${method} ${path} answered ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  return {
    home: options.home,
    token,
    get process() {
      return service;
    },
    request,
    call,
    async untilSettled<T>(path: string, settled: (reading: T) => boolean, withinMs: number, everyMs = 100) {
      const giveUpAt = Date.now() + withinMs;
      for (;;) {
        const reading = await call<T>('GET', path);
        if (settled(reading)) return reading;
        if (Date.now() > giveUpAt)
          throw new Broken(`${path} has not settled after ${withinMs / 1000} s: ${JSON.stringify(reading)}`);
        await sleep(everyMs);
      }
    },
    async untilGone(path, withinMs) {
      const giveUpAt = Date.now() + withinMs;
      for (;;) {
        const { status, body } = await request('GET', path);
        if (status === 404) return;
        if (Date.now() > giveUpAt)
          throw new Broken(`${path} is still there after ${withinMs / 1000} s: ${JSON.stringify(body)}`);
        await sleep(300);
      }
    },
    killAndRestart: (between) => restart(() => service.kill(), between),
    stopAndRestart: (between) => restart(() => service.stop(), between),
    stop: () => service.stop(),
  };
}
