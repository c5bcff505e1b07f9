import { TidemarkError } from '../../domain/errors.js';
import { placeOf } from './failures.js';
import { quoteIn, quoteName } from './quote.js';
import type { Session } from './session.js';

export type TableColumn = {
  readonly name: string;
  /** `information_schema.COLUMNS.DATA_TYPE`, lower case. */
  readonly dataType: string;
  /** CHARACTER_OCTET_LENGTH, or 0. */
  readonly bytes: number;
  /** MariaDB: begin or end of the time in which a version of a row was valid. */
  readonly isPeriod: boolean;
};

export type TableShape = {
  readonly name: string;
  readonly columns: readonly TableColumn[];
  /** MariaDB: a system-versioned table, whose history is read too. */
  readonly versioned: boolean;
};

/** A value longer than this is hashed by itself: a row that exceeds max_allowed_packet would otherwise read as NULL. */
const LONG_VALUE_BYTES = 4096;

const geometryTypes = new Set([
  'geometry',
  'point',
  'linestring',
  'polygon',
  'multipoint',
  'multilinestring',
  'multipolygon',
  'geometrycollection',
  'geomcollection',
]);
const characterTypes = new Set(['char', 'varchar', 'binary', 'varbinary', 'tinyblob', 'tinytext']);

const shortTexts = new Set([
  'tinyint',
  'smallint',
  'mediumint',
  'int',
  'bigint',
  'decimal',
  'double',
  'year',
  'date',
  'time',
  'datetime',
  'timestamp',
]);
const blobTypes = new Set(['blob', 'mediumblob', 'longblob', 'text', 'mediumtext', 'longtext']);

/**
 * Bytes with their length before them. The length is cast, and so the rest is taken byte by byte, whatever its character set: casting a text
 * gives the same bytes, but both servers copy it for that, and MySQL looks at each of its characters (a third of the whole query).
 */
const withLength = (bytes: string) => `CONCAT(CAST(LENGTH(${bytes}) AS BINARY), ':', ${bytes})`;
/** For texts that never hold a semicolon. */
const withEnd = (bytes: string) => `CONCAT(${bytes}, ';')`;

/**
 * The exact value of a column as bytes that tell where they end: what two columns give alike is the same value. Hashes are all
 * equally long and need no end.
 */
function columnBytes(column: TableColumn): string {
  const name = quoteName(column.name);
  const type = column.dataType;
  // A FLOAT prints six digits; as DOUBLE it prints as many as tell it apart from its neighbours.
  if (type === 'float') return withEnd(`CAST(CAST(${name} AS DOUBLE) AS BINARY)`);
  // ENUM and SET by number: the empty error value and an empty label have the same text. BIT has no readable text.
  if (type === 'enum' || type === 'set' || type === 'bit') return withEnd(`CAST(${name} + 0 AS BINARY)`);
  // The server's own form: SRID and WKB in the axis order in which it was stored.
  if (geometryTypes.has(type)) return `SHA2(HEX(${name}), 256)`;
  if (type === 'json') return `SHA2(CAST(CAST(${name} AS CHAR) AS BINARY), 256)`;
  if (blobTypes.has(type)) {
    // Most texts are short: a hash of their own for each costs more than the rest of the row.
    return `IF(LENGTH(${name}) <= ${LONG_VALUE_BYTES}, ${withLength(name)}, CONCAT('h', SHA2(${name}, 256)))`;
  }
  if (type === 'vector') return `SHA2(CAST(${name} AS BINARY), 256)`;
  if (characterTypes.has(type) && column.bytes > LONG_VALUE_BYTES) return `SHA2(${name}, 256)`;
  // Text in the bytes of its own character set: collations and conversions cannot make two values equal.
  if (characterTypes.has(type)) return withLength(name);
  const text = `CAST(CAST(${name} AS CHAR) AS BINARY)`;
  // Numbers, dates and times; else uuid, inet4, inet6 and what is yet to come.
  return shortTexts.has(type) ? withEnd(text) : withLength(text);
}

/** One row as bytes, NULL as `N`: no two rows share a text. */
function rowBytes(columns: readonly TableColumn[]): string {
  return `CONCAT(${columns.map((column) => `IFNULL(${columnBytes(column)}, 'N')`).join(', ')})`;
}

/**
 * Stands for the hash of a row that the server could not put together. More than all hashes of a table add up to, so that one such row shows
 * in the sum: counting the hashes beside adding them would make the servers compute each of them twice.
 */
const UNREADABLE = 10n ** 40n;

/**
 * Rows and checksum of a table: the sum of the first 64 bits of every row's SHA-256. A sum, because with an exclusive or two equal rows
 * would cancel out; the order in which rows are read does not matter. CHECKSUM TABLE is not used: it depends on ROW_FORMAT.
 */
export async function checksumTable(
  session: Session,
  schema: string,
  table: TableShape,
): Promise<{ rows: string; checksum: string }> {
  const from = `${quoteIn(schema, table.name)}${table.versioned ? ' FOR SYSTEM_TIME ALL' : ''}`;
  if (table.columns.length === 0) {
    return { rows: (await session.value(`SELECT COUNT(*) FROM ${from}`)) ?? '0', checksum: '0' };
  }
  const hash = `CAST(CONV(LEFT(SHA2(${rowBytes(table.columns)}, 256), 16), 16, 10) AS UNSIGNED)`;
  const [row] = await session.rows(
    `SELECT COUNT(*) AS row_count, COALESCE(SUM(IFNULL(${hash}, ${UNREADABLE})), 0) AS checksum FROM ${from}`,
    [],
    `Reading table ${table.name} for the fingerprint failed`,
  );
  if (!row || BigInt(row.checksum ?? UNREADABLE) >= UNREADABLE) {
    // CONCAT gives NULL beyond max_allowed_packet: a row that was not counted must never look equal.
    throw new TidemarkError(
      'dump_failed',
      `Table ${table.name} (${placeOf(session.connection)}) has rows larger than max_allowed_packet of its server.`,
      { object: table.name },
    );
  }
  return { rows: row.row_count ?? '0', checksum: row.checksum ?? '0' };
}
