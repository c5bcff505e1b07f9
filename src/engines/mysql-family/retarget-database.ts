import { Transform } from 'node:stream';
import { quoteName } from './quote.js';

/** What the dump tool writes around routines, triggers and events that were created under another default collation of their database. */
const START = Buffer.from('ALTER DATABASE `');
const STATEMENT = /^ALTER DATABASE `(?:[^`]|``)+`( CHARACTER SET [A-Za-z0-9_]+ COLLATE [A-Za-z0-9_]+ )/;
/** Longer than any such line: a name of 64 characters, doubled and in four bytes each, and the rest. */
const MAX_STATEMENT = 1024;
const NEWLINE = 0x0a;

/**
 * Puts the name of the database that is being loaded into the dump tool's own ALTER DATABASE lines, which name the source: without it a
 * load into staging would change the default collation of a live database of that name. Only whole lines of exactly this form are
 * touched. Rows cannot form one: the dump tool escapes every line end in them.
 */
export class RetargetDatabase extends Transform {
  private readonly name: Buffer;
  /** Bytes kept back, because they could be the beginning of such a line. */
  private kept: Buffer = Buffer.alloc(0);
  private atLineStart = true;

  constructor(database: string) {
    super();
    this.name = Buffer.from(`ALTER DATABASE ${quoteName(database)}`);
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.run(this.kept.length > 0 ? Buffer.concat([this.kept, chunk]) : chunk, false);
    callback();
  }

  override _flush(callback: (error?: Error | null) => void): void {
    this.run(this.kept, true);
    callback();
  }

  private pass(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.atLineStart = bytes[bytes.length - 1] === NEWLINE;
    this.push(bytes);
  }

  private run(bytes: Buffer, last: boolean): void {
    let from = 0;
    let search = 0;
    for (;;) {
      const at = bytes.indexOf(START, search);
      if (at < 0) break;
      const lineStart = at === 0 ? this.atLineStart : bytes[at - 1] === NEWLINE;
      if (!lineStart) {
        search = at + 1;
        continue;
      }
      if (!last && bytes.length - at < MAX_STATEMENT) {
        this.pass(bytes.subarray(from, at));
        this.kept = Buffer.from(bytes.subarray(at));
        return;
      }
      const match = STATEMENT.exec(bytes.subarray(at, at + MAX_STATEMENT).toString('latin1'));
      if (!match) {
        search = at + 1;
        continue;
      }
      this.pass(bytes.subarray(from, at));
      this.pass(this.name);
      this.pass(Buffer.from(match[1] ?? '', 'latin1'));
      from = at + match[0].length;
      search = from;
    }
    // The end of a chunk may hold the beginning of the words sought.
    const keep = last ? 0 : Math.min(START.length - 1, bytes.length - from);
    this.pass(bytes.subarray(from, bytes.length - keep));
    this.kept = Buffer.from(bytes.subarray(bytes.length - keep));
  }
}
