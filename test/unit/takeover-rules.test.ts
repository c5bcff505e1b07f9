/** When the log of a server that took over is the stored log and what comes after it. */
import { describe, expect, test } from 'vitest';
import { compareLogPositions } from '../../src/domain/compare-positions.js';
import { asOfTakeover, ownFileName, takeoverOf } from '../../src/domain/takeover-files.js';
import { takeoverRules } from '../../src/engines/mysql-family/archive/takeover-rules.js';
import type { BinlogTransaction } from '../../src/engines/mysql-family/binlog/scan-binlog.js';

const one = (gtid: string, content: string | null = gtid, originTimeMicros = 1n): BinlogTransaction => ({
  ...{ gtid, content, commitTimeMicros: 7n, originTimeMicros, file: 'binlog.000001', start: 0, end: 1 },
  eventStatement: null,
});
const A = 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa';
const B = 'bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb';

type Case = {
  readonly stored: string;
  readonly tail: readonly BinlogTransaction[];
  readonly before?: readonly string[];
  readonly previous: string;
  readonly log: readonly BinlogTransaction[];
};

/** Why not, or whether it is proven after the whole log. */
function outcome(kind: 'mysql' | 'mariadb', { stored, tail, before = [], previous, log }: Case): string | boolean {
  const gtids = tail.map(({ gtid }) => gtid);
  const rules = takeoverRules(kind, stored, { transactions: tail, before, gtids });
  const refused = rules.begin(previous, previous === '' ? [] : previous.split(','));
  if (refused !== null) return refused;
  for (const transaction of log) {
    const why = rules.take(transaction);
    if (why !== null) return why;
    if (rules.isProven) return true;
  }
  return false;
}

describe('the log of a MySQL server that took over', () => {
  const tail = [one(`${A}:8`), one(`${A}:9`)];
  const base: Case = { stored: `${A}:1-9`, tail, previous: `${A}:1-7`, log: tail };

  test('goes on with the stored one when it holds all of that and nothing else before its end', () => {
    expect(outcome('mysql', base)).toBe(true);
    expect(outcome('mysql', { ...base, log: [...tail, one(`${A}:10`), one(`${B}:1`)] })).toBe(true);
  });

  test.each<[string, Partial<Case>, string | RegExp | boolean]>([
    ['without the end of what is stored', { log: [one(`${A}:8`), one(`${A}:10`)] }, false],
    ['with something else before it', { previous: `${A}:1-7,${B}:1` }, /executed b.*:1, which is not stored, before/],
    ['with something else inside', { log: [one(`${A}:8`), one(`${B}:1`), one(`${A}:9`)] }, /b.*:1.* before a.*:9/],
    ['with another content', { log: [one(`${A}:8`, 'nothing'), one(`${A}:9`)] }, /:8 is another one/],
    ['with another time', { log: [one(`${A}:8`), one(`${A}:9`, `${A}:9`, 2n)] }, /:9 is another one/],
    ['that is packed', { log: [one(`${A}:8`, null), one(`${A}:9`)] }, /:8 cannot be compared/],
    ['when what is stored is packed', { tail: [one(`${A}:8`), one(`${A}:9`, null)], log: tail }, /:9 cannot be comp/],
    ['of which nothing can be compared', { previous: `${A}:1-9`, log: [one(`${A}:10`)] }, false],
  ])('does not %s', (_what, change, expected) => {
    const found = outcome('mysql', { ...base, ...change });
    if (expected instanceof RegExp) expect(found).toMatch(expected);
    else expect(found).toBe(expected);
  });
});

describe('the log of a MariaDB server that took over', () => {
  const tail = [one('0-1-8'), one('7-1-3'), one('0-1-9')];
  const base: Case = { stored: '0-1-9,7-1-3', tail, before: ['0-1-7', '7-1-2'], previous: '0-1-7,7-1-2', log: tail };

  test('goes on with the stored one when every domain does', () => {
    expect(outcome('mariadb', base)).toBe(true);
    expect(outcome('mariadb', { ...base, previous: '0-1-8,7-1-3', log: [one('0-1-9'), one('0-2-10')] })).toBe(true);
    // Domains are independent of each other.
    expect(outcome('mariadb', { ...base, log: [one('7-1-3'), one('0-1-8'), one('0-1-9')] })).toBe(true);
  });

  test.each<[string, Partial<Case>, string | RegExp | boolean]>([
    ['without the end of a domain', { log: [one('0-1-8'), one('0-1-9')] }, false],
    ['with another content', { log: [one('7-1-3'), one('0-1-8'), one('0-1-9', 'x')] }, /0-1-9 is another/],
    ['that skipped the first ones', { log: [one('7-1-3'), one('0-1-9')] }, /not 0-1-8 before it/],
    [
      'that skipped one inside',
      {
        tail: [...tail.slice(0, 2), one('0-1-9'), one('0-1-10')],
        stored: '0-1-10,7-1-3',
        log: [one('0-1-8'), one('7-1-3'), one('0-1-10')],
      },
      /not 0-1-9 before it/,
    ],
    ['with transactions of its own before', { previous: '0-1-7,0-2-4,7-1-2' }, /executed 0-2-4, which is not stored/],
    [
      'with transactions of its own inside',
      { log: [one('0-1-8'), one('0-2-9'), one('7-1-3'), one('0-1-9')] },
      /executed 0-2-9, which is not stored/,
    ],
    [
      'with another domain inside',
      { log: [one('0-1-8'), one('9-2-1'), one('7-1-3'), one('0-1-9')] },
      /executed 9-2-1, which is not stored/,
    ],
  ])('does not %s', (_what, change, expected) => {
    const found = outcome('mariadb', { ...base, ...change });
    if (expected instanceof RegExp) expect(found).toMatch(expected);
    else expect(found).toBe(expected);
  });
});

test('files of a server that took over come after all of its predecessor, whatever their numbers', () => {
  const file = asOfTakeover(2, 'binlog.000003');
  expect([takeoverOf(file), ownFileName(file), takeoverOf('binlog.000003')]).toEqual([2, 'binlog.000003', 0]);
  const order = ['binlog.000009', asOfTakeover(1, 'binlog.000002'), asOfTakeover(1, 'binlog.000010'), file];
  const sorted = [...order].reverse().sort((a, b) => compareLogPositions({ file: a }, { file: b }));
  expect(sorted).toEqual(order);
});
