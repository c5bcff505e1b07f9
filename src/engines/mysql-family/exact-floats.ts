import { Readable } from 'node:stream';
import { quoteIn, quoteName } from './quote.js';
import type { Row, Session } from './session.js';
import type { TableEntry } from './table-shapes.js';

/** A table with FLOAT columns whose rows can be named by a key. */
export type FloatTable = {
  readonly name: string;
  readonly floats: readonly string[];
  readonly key: readonly { readonly name: string; readonly dataType: string; readonly characterSet: string | null }[];
  /** Columns that an UPDATE would set by itself (ON UPDATE CURRENT_TIMESTAMP). */
  readonly touched: readonly string[];
};

const numbers = new Set(['tinyint', 'smallint', 'mediumint', 'int', 'bigint', 'decimal', 'year', 'bit']);
const times = new Set(['date', 'time', 'datetime', 'timestamp']);
const texts = new Set(['char', 'varchar', 'tinytext', 'text', 'mediumtext', 'longtext', 'enum']);
const binaries = new Set(['binary', 'varbinary', 'tinyblob', 'blob', 'mediumblob', 'longblob']);
const comparable = (type: string) => [numbers, times, texts, binaries].some((set) => set.has(type));

/** Tables whose FLOAT values the dump tool rounds; `mended` can be given their exact values afterwards, the others cannot. */
export async function findFloatTables(
  session: Session,
  schema: string,
  tables: readonly TableEntry[],
): Promise<{ mended: FloatTable[]; rounded: string[] }> {
  const rows = await session.rows(
    `SELECT TABLE_NAME AS table_name, COLUMN_NAME AS name, DATA_TYPE AS type, COLUMN_KEY AS in_key, EXTRA AS extra, CHARACTER_SET_NAME AS character_set
     FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME IN (
       SELECT TABLE_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND DATA_TYPE = 'float') ORDER BY TABLE_NAME, ORDINAL_POSITION`,
    [schema, schema],
    'Looking for FLOAT columns failed',
  );
  const byTable = new Map<string, Row[]>();
  for (const row of rows) byTable.set(row.table_name ?? '', [...(byTable.get(row.table_name ?? '') ?? []), row]);
  const mended: FloatTable[] = [];
  const rounded: string[] = [];
  for (const table of tables) {
    const columns = byTable.get(table.name);
    if (table.kind !== 'table' || columns === undefined) continue;
    const generated = (row: Row) => /GENERATED/i.test(row.extra ?? '') && !/DEFAULT_GENERATED/i.test(row.extra ?? '');
    const floats = columns.filter((row) => row.type === 'float' && !generated(row)).map((row) => row.name ?? '');
    if (floats.length === 0) continue;
    const key = columns.filter((row) => row.in_key === 'PRI');
    // An UPDATE of a system-versioned table would write history.
    if (key.length === 0 || table.versioned || !key.every((row) => comparable(row.type ?? ''))) {
      rounded.push(table.name);
      continue;
    }
    mended.push({
      name: table.name,
      floats,
      key: key.map((row) => ({
        name: row.name ?? '',
        dataType: row.type ?? '',
        characterSet: row.character_set ?? null,
      })),
      touched: columns.filter((row) => /on update/i.test(row.extra ?? '')).map((row) => row.name ?? ''),
    });
  }
  return { mended, rounded };
}

/** An expression that gives the column's value as the text of a literal. */
function literal(column: FloatTable['key'][number]): string {
  const name = quoteName(column.name);
  if (numbers.has(column.dataType)) return `CAST(${name} + 0 AS CHAR)`;
  if (times.has(column.dataType)) return `CONCAT('''', CAST(${name} AS CHAR), '''')`;
  const hex = `CONCAT('x''', HEX(${name}), '''')`;
  return binaries.has(column.dataType) || column.characterSet === null
    ? hex
    : `CONCAT('CONVERT(', ${hex}, ' USING ${column.characterSet})')`;
}

/** As float and back, the six digits that the dump tool writes must give the value itself. */
const isRounded = (name: string) => `CAST(${name} AS DOUBLE) <> CAST(CAST(CAST(${name} AS CHAR) AS FLOAT) AS DOUBLE)`;

/** Tables of one database; `use` when the statements must say which. */
export type FloatTables = { readonly schema: string; readonly use: boolean; readonly tables: readonly FloatTable[] };

async function* statements(session: Session, databases: readonly FloatTables[]): AsyncGenerator<Buffer> {
  yield Buffer.from(
    "-- Exact values of FLOAT columns: the dump tool writes six digits.\nSET SESSION sql_mode = '', SESSION time_zone = '+00:00', SESSION foreign_key_checks = 0;\nSET AUTOCOMMIT = 0;\n",
  );
  for (const { schema, use, tables } of databases) {
    if (use && tables.length > 0) yield Buffer.from(`USE ${quoteName(schema)};\n`);
    for (const table of tables) yield* updates(session, schema, table);
  }
  yield Buffer.from('COMMIT;\nSET AUTOCOMMIT = 1;\n-- Dump completed\n');
}

async function* updates(session: Session, schema: string, table: FloatTable): AsyncGenerator<Buffer> {
  const sets = [
    ...table.floats.map(
      (name) =>
        `'${quoteName(name).replaceAll("'", "''")} = ', COALESCE(CAST(CAST(${quoteName(name)} AS DOUBLE) AS CHAR), 'NULL')`,
    ),
    ...table.touched.map((name) => `'${`${quoteName(name)} = ${quoteName(name)}`.replaceAll("'", "''")}'`),
  ].join(", ', ', ");
  const where = table.key
    .map((column) => `'${quoteName(column.name).replaceAll("'", "''")} = ', ${literal(column)}`)
    .join(", ' AND ', ");
  const sql = `SELECT CONCAT(${sets}, ' WHERE ', ${where}) AS assignment FROM ${quoteIn(schema, table.name)}
      WHERE ${table.floats.map((name) => isRounded(quoteName(name))).join(' OR ')}`;
  for await (const row of session.stream(sql))
    yield Buffer.from(`UPDATE ${quoteName(table.name)} SET ${row.assignment};\n`);
}

/** The part that gives FLOAT columns their exact values, read from the snapshot of `session`. Must be loaded before triggers exist. */
export function exactFloats(session: Session, databases: readonly FloatTables[]): Readable {
  return Readable.from(statements(session, databases), { objectMode: false });
}
