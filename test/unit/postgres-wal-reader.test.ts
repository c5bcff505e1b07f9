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

/** A segment file as pg_receivewal makes it: full size from the start, zeros where nothing was written yet. */
const segment = (written: number) => Buffer.concat([Buffer.alloc(written, 0x61), Buffer.alloc(SEGMENT - written)]);

it('takes nothing of a segment that a new timeline repeats before the receiver reports more than the former timeline had', async () => {
  const spool = new Spool(dir, SEGMENT);
  const write = (name: string, body: Buffer | string) => writeFileSync(spool.path(name), body);
  const reader = new WalReader(spool, { timeline: 1, lsn: parseLsn('0/400000') });
  const left = parseLsn('0/480000');
  write('000000010000000000000004.partial', segment(0x80000));
  write('00000002.history', '1\t0/480000\tno recovery target specified\n');
  const stale = { lsn: left, generation: 0 };
  expect(await reader.read(stale, left)).toMatchObject({
    file: '000000010000000000000004',
    end: { timeline: 1, lsn: '0/480000' },
  });
  expect(await reader.read(stale, left)).toMatchObject({ file: '00000002.history' });

  // The program has opened the new timeline's file and written nothing yet, but still calls the former end flushed.
  write('000000020000000000000004.partial', segment(0));
  expect(await reader.read(stale, left)).toBeNull();
  // Nothing more will come: what was reported last does not make zeros the log either.
  expect(await reader.read(null, left)).toBeNull();

  write('000000020000000000000004.partial', segment(0x80100));
  const chunk = await reader.read({ lsn: parseLsn('0/480100'), generation: 0 }, left);
  expect(chunk).toMatchObject({
    file: '000000020000000000000004',
    offset: 0,
    start: { timeline: 2, lsn: '0/480000' },
    end: { timeline: 2, lsn: '0/480100' },
  });
  expect(chunk?.body.equals(Buffer.alloc(0x80100, 0x61))).toBe(true);
});
