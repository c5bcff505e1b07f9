import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { Spool } from '../../src/engines/postgres/archive/spool.js';
import { parseLsn } from '../../src/engines/postgres/archive/wal-names.js';
import { WalReader } from '../../src/engines/postgres/archive/wal-reader.js';

const SEGMENT = 1024 * 1024;
const dir = mkdtempSync(join(tmpdir(), 'tm-wal-reader-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const log = (bytes: number) => Buffer.alloc(bytes, 0x61);

it('takes nothing of a segment that a new timeline repeats before the receiver has written there', async () => {
  const spool = new Spool(dir, SEGMENT);
  const write = (name: string, body: Buffer | string) => writeFileSync(spool.path(name), body);
  const reader = new WalReader(spool, { timeline: 1, lsn: parseLsn('0/400000') });
  write('000000010000000000000004.partial', log(0x80000));
  write('00000002.history', '1\t0/480000\tno recovery target specified\n');
  const former = { timeline: 1, lsn: parseLsn('0/480000'), generation: 1 };
  expect(await reader.read(former, false)).toMatchObject({
    file: '000000010000000000000004',
    end: { timeline: 1, lsn: '0/480000' },
  });
  expect(await reader.read(former, false)).toMatchObject({ file: '00000002.history' });

  // The file of the new timeline is there; what was written last is of the former one.
  write('000000020000000000000004.partial', log(0x80100));
  expect(await reader.read(former, false)).toBeNull();
  // Nothing more will come: that makes nothing else the log either.
  expect(await reader.read(former, true)).toBeNull();

  const chunk = await reader.read({ timeline: 2, lsn: parseLsn('0/480100'), generation: 1 }, false);
  expect(chunk).toMatchObject({
    file: '000000020000000000000004',
    offset: 0,
    start: { timeline: 2, lsn: '0/480000' },
    end: { timeline: 2, lsn: '0/480100' },
  });
  expect(chunk?.body.equals(log(0x80100))).toBe(true);
});

it('does not read further than the present run of the receiver has written, over what an earlier one left', async () => {
  const spool = new Spool(mkdtempSync(join(dir, 'again-')), SEGMENT);
  const reader = new WalReader(spool, { timeline: 1, lsn: parseLsn('0/400000') });
  writeFileSync(spool.path('000000010000000000000004.partial'), log(0x3000));
  const at = (lsn: string, generation: number) => ({ timeline: 1, lsn: parseLsn(lsn), generation });
  expect((await reader.read(at('0/401000', 1), false))?.body.length).toBe(0x1000);
  expect(await reader.read(at('0/400800', 2), false)).toBeNull();
  expect(await reader.read(at('0/402000', 2), false)).toMatchObject({ offset: 0x1000, end: { lsn: '0/402000' } });
});
