import { createHash } from 'node:crypto';
import type { EventHeader } from './events.js';
import { eventTypes, readQuery, textStart } from './events.js';

/** Longer events are not read: what they hold counts as unknown. */
export const MAX_DIGEST_BYTES = 16 * 1024 * 1024;

type Change = 'insert' | 'update' | 'delete' | 'partial update';

const TABLE_MAP = 19;
const CONTROL = /^(?:BEGIN|COMMIT|SAVEPOINT)\b/i;
const DROP = /^(DROP\s+(?:TEMPORARY\s+)?(?:TABLE|VIEW|SEQUENCE)\s+)IF\s+EXISTS\s+/i;
/** What the next statement draws on: generated numbers, random numbers, values of variables. */
const context = new Set<number>([5, 13, 14]);
/** Rows events and whether they carry a length of extra data before the columns (MySQL's second version). */
const rowEvents = new Map<number, { readonly change: Change; readonly hasExtra: boolean }>([
  [23, { change: 'insert', hasExtra: false }],
  [24, { change: 'update', hasExtra: false }],
  [25, { change: 'delete', hasExtra: false }],
  [30, { change: 'insert', hasExtra: true }],
  [31, { change: 'update', hasExtra: true }],
  [32, { change: 'delete', hasExtra: true }],
  [39, { change: 'partial update', hasExtra: true }],
]);
/** Packed, or loaded from a file: what they do is not read. */
const opaque = new Set<number>([
  9,
  17,
  eventTypes.executeLoadQuery,
  eventTypes.transactionPayload,
  eventTypes.mariadbQueryCompressed,
  166,
  167,
  168,
  169,
  170,
  171,
]);

/**
 * What a transaction does, as a hash of it that is the same in the log of a server and in that of its replica: statements with their database, and the
 * rows of each table, in order, however they are spread over events. Ids of tables, threads and transactions are each server's own, and are left out.
 * A replica that writes rows for a statement, or other columns of a row, has another hash: then the two are not known to do the same.
 */
export class ContentDigest {
  private hash = createHash('sha256');
  private tables = new Map<string, string>();
  private current = '';
  private isKnown = true;

  begin(): void {
    this.hash = createHash('sha256');
    this.tables = new Map();
    this.current = '';
    this.isKnown = true;
  }

  /** The next event of the transaction; null for a body that was passed over. */
  event({ type }: EventHeader, body: Buffer | null): void {
    const rows = rowEvents.get(type);
    const isContext = context.has(type);
    const matters = rows || isContext || type === eventTypes.query || type === TABLE_MAP || opaque.has(type);
    if (!matters) return;
    if (body === null || opaque.has(type)) this.isKnown = false;
    else if (type === eventTypes.query) this.statement(body);
    else if (isContext) this.add(`context\0${type}\0${body.length}\0`, body);
    else if (type === TABLE_MAP) this.table(body);
    else if (rows !== undefined) this.rows(rows, body);
  }

  /** Null when something of it could not be told. */
  end(): string | null {
    return this.isKnown ? this.hash.digest('hex') : null;
  }

  private add(kind: string, body: Buffer): void {
    this.current = '';
    this.hash.update(kind);
    this.hash.update(body);
  }

  private statement(body: Buffer): void {
    const { database, text } = readQuery(body);
    // MariaDB ends a transaction by an event of its own kind or by such a statement.
    if (CONTROL.test(text)) return;
    // A replica writes another database beside them, and MariaDB's lets a table be gone already.
    const place = /^XA\b/i.test(text) ? '' : database;
    // Bytes where they can be had: a statement may hold some that are no text.
    const plain = DROP.test(text) ? Buffer.from(text.replace(DROP, '$1')) : body.subarray(textStart(body));
    this.add(`statement\0${place}\0${plain.length}\0`, plain);
  }

  private table(body: Buffer): void {
    const database = readName(body, 8);
    const name = readName(body, database.next);
    this.tables.set(body.toString('hex', 0, 6), `${database.text}\0${name.text}`);
  }

  private rows({ change, hasExtra }: { change: Change; hasExtra: boolean }, body: Buffer): void {
    const table = this.tables.get(body.toString('hex', 0, 6));
    if (table === undefined) {
      this.isKnown = false;
      return;
    }
    const target = `${change}\0${table}`;
    if (target !== this.current) this.hash.update(`rows\0${target}\0`);
    this.current = target;
    let at = 8 + (hasExtra ? body.readUInt16LE(8) : 0);
    const first = body.readUInt8(at);
    const columns = first < 251 ? first : body.readUInt16LE(at + 1);
    at += first < 251 ? 1 : 3;
    at += ((columns + 7) >> 3) * (change === 'insert' || change === 'delete' ? 1 : 2);
    this.hash.update(body.subarray(at));
  }
}

/** A length, the text and a zero byte. */
function readName(body: Buffer, at: number): { readonly text: string; readonly next: number } {
  const length = body.readUInt8(at);
  return { text: body.toString('utf8', at + 1, at + 1 + length), next: at + 2 + length };
}
