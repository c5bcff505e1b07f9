import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { allOrNone } from '../../src/platform/all-or-none.js';

const never = new AbortController().signal;

/** Ends when it is told to, a little later, with the reason. */
const untilTold = (signal: AbortSignal, ended: () => void) =>
  new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => {
      setTimeout(() => {
        ended();
        reject(new Error(`heard of: ${(signal.reason as Error).message}`));
      }, 20);
    });
  });

test('what is done at once gives all results in order', async () => {
  const tasks = [30, 10, 20].map((ms) => async () => {
    await sleep(ms);
    return ms;
  });
  expect(await allOrNone(never, tasks)).toEqual([30, 10, 20]);
  expect(await allOrNone(never, [])).toEqual([]);
});

test('the first failure ends the others, which are awaited, and is the one that is told', async () => {
  let ended = 0;
  const one = (signal: AbortSignal) => untilTold(signal, () => (ended += 1));
  const tasks = [one, () => Promise.reject(new Error('the cause')), one];
  await expect(allOrNone(never, tasks)).rejects.toThrow(/^the cause$/);
  expect(ended).toBe(2);
});

test('a caller who gives up ends all', async () => {
  const caller = new AbortController();
  let ended = 0;
  const all = allOrNone(caller.signal, [(signal) => untilTold(signal, () => (ended += 1))]);
  caller.abort(new Error('enough'));
  await expect(all).rejects.toThrow('heard of: enough');
  expect(ended).toBe(1);
});
