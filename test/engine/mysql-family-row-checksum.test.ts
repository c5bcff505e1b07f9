import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { readRows } from '../../src/engines/mysql-family/fingerprint.js';
import { openSession } from '../../src/engines/mysql-family/session.js';
import { listTables } from '../../src/engines/mysql-family/table-shapes.js';
import { describeEngine, useEngine } from '../support/engine-servers.js';
import { connectionTo } from './contract.js';

const withLength = (bytes: Buffer) => Buffer.concat([Buffer.from(`${bytes.length}:`), bytes]);
const hashOf = (bytes: Buffer) => Buffer.from(createHash('sha256').update(bytes).digest('hex'));
const withHash = (bytes: Buffer) => Buffer.concat([Buffer.from('h'), hashOf(bytes)]);

const long = Buffer.from('ž'.repeat(3000));

/** Type of a column, its value as SQL, and as what it enters the row's hash: the bytes as they lie there, never converted. */
const columns: readonly (readonly [type: string, value: string, bytes: Buffer])[] = [
  ['int', '7', Buffer.from('7;')],
  ['varchar(20) CHARACTER SET latin1', "_latin1 x'E9FF'", withLength(Buffer.from('E9FF', 'hex'))],
  ['varchar(20) CHARACTER SET utf16', "_utf16 x'006100E9'", withLength(Buffer.from('006100E9', 'hex'))],
  ['varchar(20) CHARACTER SET utf32', "_utf32 x'0001F600'", withLength(Buffer.from('0001F600', 'hex'))],
  ['varchar(20) CHARACTER SET sjis', "_sjis x'82A08341'", withLength(Buffer.from('82A08341', 'hex'))],
  ['varchar(20) CHARACTER SET utf8mb4', "'😀'", withLength(Buffer.from('😀'))],
  ['varchar(20) CHARACTER SET utf8mb4', "''", withLength(Buffer.alloc(0))],
  ['varchar(20) CHARACTER SET utf8mb4', 'NULL', Buffer.from('N')],
  ['varchar(2000) CHARACTER SET utf8mb4', "'ž'", hashOf(Buffer.from('ž'))],
  ['varchar(2000) CHARACTER SET utf16', "_utf16 x'00E9'", hashOf(Buffer.from('00E9', 'hex'))],
  ['char(5) CHARACTER SET latin1', "_latin1 x'E9'", withLength(Buffer.from('E9', 'hex'))],
  ["enum('', 'é') CHARACTER SET latin1", "'é'", Buffer.from('2;')],
  ['tinytext CHARACTER SET latin1', "_latin1 x'E9'", withLength(Buffer.from('E9', 'hex'))],
  ['text CHARACTER SET utf16', "_utf16 x'00E9'", withLength(Buffer.from('00E9', 'hex'))],
  ['text CHARACTER SET utf8mb4', `_utf8mb4 x'${long.toString('hex')}'`, withHash(long)],
  ['longtext CHARACTER SET utf8mb4', "'ž'", withLength(Buffer.from('ž'))],
  ['varbinary(10)', "x'FF00C3'", withLength(Buffer.from('FF00C3', 'hex'))],
  ['binary(3)', "x'C3'", withLength(Buffer.from('C30000', 'hex'))],
  ['blob', "x'FFFE'", withLength(Buffer.from('FFFE', 'hex'))],
  ['mediumblob', `x'${long.toString('hex')}'`, withHash(long)],
];

for (const product of ['mysql', 'mariadb', 'mariadb1011'] as const) {
  describeEngine(product, `the checksum of a table on ${product}`, () => {
    const server = useEngine(product);

    it('is made of the very bytes of its values, whatever their character set', async () => {
      const schema = await server.createDatabase();
      const definitions = columns.map(([type], index) => `c${index} ${type} NULL`).join(', ');
      await server.query(`CREATE TABLE kinds (${definitions})`, schema);
      await server.query(`INSERT INTO kinds VALUES (${columns.map(([, value]) => value).join(', ')})`, schema);
      const { signal } = new AbortController();
      const session = await openSession(connectionTo(server, schema), {
        database: schema,
        name: 'tidemark dump',
        signal,
      });
      try {
        const tables = await readRows([session], schema, await listTables(session, schema));
        const row = Buffer.concat(columns.map(([, , bytes]) => bytes));
        const checksum = createHash('sha256').update(row).digest().readBigUInt64BE(0).toString();
        expect(tables).toEqual([{ name: 'kinds', rows: '1', checksum }]);
      } finally {
        await session.close();
      }
    });
  });
}
