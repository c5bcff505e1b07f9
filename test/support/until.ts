import { setTimeout as sleep } from 'node:timers/promises';

/** Repeats `probe` until it gives something truthy, which is returned; throws naming `what` when `timeoutMs` is over. */
export async function until<T>(
  probe: () => T | Promise<T>,
  what: string,
  timeoutMs = 30_000,
): Promise<Exclude<T, false | null | undefined | 0 | ''>> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value) return value as Exclude<T, false | null | undefined | 0 | ''>;
    if (Date.now() > end) throw new Error(`after ${timeoutMs / 1000} s still waiting for: ${what}`);
    await sleep(50);
  }
}
