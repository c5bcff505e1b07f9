import { describe, expect, it } from 'vitest';
import { ArchiveFormatError, ArchiveScanner } from '../../src/engines/postgres/archive-scan.js';
import { settingClause } from '../../src/engines/postgres/database-properties.js';
import { settleSequences } from '../../src/engines/postgres/open-dump.js';
import { moveArrayCasts, parseDefinitions } from '../../src/engines/postgres/parse-definitions.js';

const int = (value: number) => {
  const bytes = Buffer.alloc(5);
  bytes[0] = value < 0 ? 1 : 0;
  bytes.writeUInt32LE(Math.abs(value), 1);
  return bytes;
};
const text = (value: string | null) =>
  value === null ? int(-1) : Buffer.concat([int(Buffer.byteLength(value)), Buffer.from(value)]);

/** An archive as pg_dump writes it to a pipe: a table, an empty table, a group of two large objects (one empty), a sequence value. */
function archive(minor: 14 | 15 | 16): Buffer {
  const entry = (id: number, hasData: boolean, type: string, name: string, definition = '') =>
    Buffer.concat([
      int(id),
      int(hasData ? 1 : 0),
      ...[
        text('1259'),
        text('16384'),
        text(name),
        text(type),
        int(3),
        text(definition),
        text(''),
        text(null),
        text('public'),
        text(''),
        text(''),
      ],
      ...(minor >= 16 ? [int(114)] : []),
      ...[
        text('owner'),
        text('false'),
        text('7'),
        text('8'),
        text(null),
        Buffer.from([hasData ? 1 : 3, 0, 0, 0, 0, 0, 0, 0, 0]),
      ],
    ]);
  const entries = [
    entry(10, true, 'TABLE DATA', 'täble'),
    entry(11, true, 'TABLE DATA', 'empty'),
    entry(12, true, 'BLOBS', 'BLOBS'),
    entry(13, false, 'SEQUENCE SET', 's', "SELECT pg_catalog.setval('public.s', 42, true);\n"),
  ];
  return Buffer.concat([
    Buffer.from('PGDMP'),
    Buffer.from([1, minor, 0, 4, 8, 1]),
    minor >= 15 ? Buffer.from([0]) : int(0),
    ...Array.from({ length: 7 }, () => int(1)),
    ...[text('db'), text('17.0'), text('17.0'), int(entries.length), ...entries],
    ...[Buffer.from([1]), int(10), int(5), Buffer.from('1\ta\n\x00'), int(2), Buffer.from('\\.'), int(0)],
    ...[Buffer.from([1]), int(11), int(0)],
    ...[Buffer.from([3]), int(12), int(5001), int(3), Buffer.from('abc'), int(0), int(5002), int(0), int(0)],
  ]);
}

describe('the scanner of PostgreSQL archives', () => {
  for (const minor of [14, 15, 16] as const) {
    it(`reads a whole archive of version 1.${minor}, in whatever pieces it comes`, () => {
      const bytes = archive(minor);
      for (const size of [1, 2, 3, 7, 64, bytes.length]) {
        const scanner = new ArchiveScanner();
        for (let at = 0; at < bytes.length; at += size) scanner.feed(bytes.subarray(at, at + size));
        expect(scanner.missing()).toBeNull();
        expect(scanner.entries?.map(({ type, name }) => `${type} ${name}`)).toEqual([
          'TABLE DATA täble',
          'TABLE DATA empty',
          'BLOBS BLOBS',
          'SEQUENCE SET s',
        ]);
      }
    });

    it(`misses something in an archive of version 1.${minor} cut off at any byte`, () => {
      const bytes = archive(minor);
      for (let length = 0; length < bytes.length; length++) {
        const scanner = new ArchiveScanner();
        scanner.feed(bytes.subarray(0, length));
        expect(scanner.missing(), `cut at ${length}`).not.toBeNull();
      }
    });
  }

  it('refuses what is no archive and what follows after one', () => {
    expect(() => new ArchiveScanner().feed(Buffer.from('-- PostgreSQL database dump'))).toThrow(ArchiveFormatError);
    expect(() => new ArchiveScanner().feed(Buffer.concat([archive(16), Buffer.from('more than nothing')]))).toThrow(
      ArchiveFormatError,
    );
    const again = Buffer.concat([archive(16), Buffer.from([1]), int(10), int(0)]);
    expect(() => new ArchiveScanner().feed(again)).toThrow(ArchiveFormatError);
  });
});

describe('sequence values of a dump', () => {
  const contents = [
    {
      id: 1,
      type: 'SEQUENCE SET',
      schema: 'public',
      name: 's',
      hasData: false,
      definition: "SELECT pg_catalog.setval('public.s', 42, true);\n",
    },
  ];
  const at = (lastValue: string) => [{ name: 'public.s', lastValue, isCalled: true }];

  it('are the archive’s when the sequence moved while it was written', () => {
    expect(settleSequences(at('40'), contents, at('50'))).toEqual(at('42'));
  });
  it('stay the source’s when it did not move, so that a wrong dump shows', () => {
    expect(settleSequences(at('41'), contents, at('41'))).toEqual(at('41'));
  });
  it('stay the source’s when the archive’s value lies outside of what was seen', () => {
    expect(settleSequences(at('43'), contents, at('50'))).toEqual(at('50'));
  });
});

describe('definitions', () => {
  it('reads both spellings of IN on a varchar column as one', () => {
    const before =
      "CHECK (((state)::text = ANY ((ARRAY['new'::character varying, 'it''s, (])'::character varying])::text[])))";
    const after =
      "CHECK (((state)::text = ANY (ARRAY[('new'::character varying)::text, ('it''s, (])'::character varying)::text])))";
    expect(moveArrayCasts(before)).toBe(after);
    expect(moveArrayCasts(after)).toBe(after);
    expect(moveArrayCasts("(ARRAY['open")).toBe("(ARRAY['open");
  });

  it('hides the options of user mappings and still shows their change', () => {
    const dump = (password: string) =>
      `--\n-- Name: USER MAPPING a SERVER s; Type: USER MAPPING; Schema: -; Owner: a\n--\n\nCREATE USER MAPPING FOR a SERVER s OPTIONS (password '${password}');\n\n\n--\n-- PostgreSQL database dump complete\n--\n`;
    expect(JSON.stringify(parseDefinitions(dump('planted')))).not.toContain('planted');
    expect(parseDefinitions(dump('planted'))).not.toEqual(parseDefinitions(dump('other')));
  });

  it('takes a text without its end mark for cut off', () => {
    expect(parseDefinitions('--\n-- PostgreSQL database dump\n--\n')).toBeNull();
  });

  it('writes stored settings back as they were', () => {
    expect(settingClause('search_path="$user", "odd, ""x""", public')).toBe(
      `SET "search_path" TO '$user', 'odd, "x"', 'public'`,
    );
    expect(settingClause('search_path=""')).toBe(`SET "search_path" TO ''`);
    expect(settingClause("my.name=it's = \\ so")).toBe(`SET "my.name" TO E'it''s = \\\\ so'`);
  });
});
