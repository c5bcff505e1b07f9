import { deprecate } from 'node:util';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { hideKnownWarnings } from '../../src/platform/known-warnings.js';

const before = process.listeners('warning');
const printed: string[] = [];
beforeEach(() => hideKnownWarnings((line) => printed.push(line)));
afterEach(() => {
  process.removeAllListeners('warning');
  for (const listener of before) process.on('warning', listener);
});

it('the warning that Prisma provokes in pg is not printed, any other one is', async () => {
  // In the words of the pg that is installed, so that a new version of it is noticed here.
  const { readFileSync } = await import('node:fs');
  const source = readFileSync(new URL('../../node_modules/pg/lib/client.js', import.meta.url), 'utf8');
  const text = /'(Calling client\.query\(\)[^']+)'/.exec(source)?.[1];
  expect(text).toBeDefined();
  deprecate(() => {}, text ?? '')();
  process.emitWarning('something else', 'ExampleWarning');
  await new Promise((done) => setImmediate(done));
  expect(printed).toEqual([`(node:${process.pid}) ExampleWarning: something else\n`]);
});
