import { plainHead } from './trigger-text.js';

/** Bytes held back, so that a line to be looked at is whole: a name of 64 characters in four bytes, doubled, several times. */
const AHEAD = 8192;
/** Blank bytes between the end of a trigger's body and the dump tool's closing, at most. */
const BEHIND = 256;

const ALTER = Buffer.from('\nALTER DATABASE `');
const TRIGGER = Buffer.from('\n/*!50003 CREATE*/ /*!50017 DEFINER=`');
/** The dump tool's closings of triggers and of events. */
const CLOSINGS = [Buffer.from(' */;;\n'), Buffer.from(' */ ;;\n')];
/** Without a name it means the database in use. */
const NAMELESS_ALTER = '\nALTER DATABASE';

const ALTER_LINE = /^\nALTER DATABASE `(?:[^`]|``)+`( CHARACTER SET [A-Za-z0-9_]+ COLLATE [A-Za-z0-9_]+ )/;
const TRIGGER_HEAD =
  /^(\n\/\*!50003 CREATE\*\/ \/\*!50017 DEFINER=`(?:[^`]|``)*`(?:@`(?:[^`]|``)*`)?\*\/ \/\*!50003 )(TRIGGER\s[\s\S]*)$/i;

type Edit = { readonly at: number; readonly length: number; readonly by: Buffer };

/**
 * Mends three things in what the dump tool writes around programs, so that a client can load it under any name. It is applied when a dump
 * is written, for the sake of downloaded files, and again when we load one:
 * - `ALTER DATABASE` lines (around programs of another default collation) name the source: loading elsewhere would change a live database.
 * - MariaDB keeps `CREATE TRIGGER shop.tg … ON shop.t` as typed: it would be made in the live database, not in the one being loaded.
 * - A trigger or event that was created with a trailing semicolon (by a client that sends several statements at once) is printed with that
 *   semicolon inside the tool's version comment, which no server accepts.
 * All three are anchored to the tool's own line beginnings and ends. Rows cannot form one, because the tool escapes every line end in them.
 */
export class DumpRewriter {
  /** A line end in front lets the first line match like any other; it is taken away again. */
  private kept: Buffer = Buffer.from('\n');
  private scanned = 0;
  private started = false;

  push(chunk: Buffer): Buffer[] {
    return this.run(Buffer.concat([this.kept, chunk]), false);
  }

  flush(): Buffer[] {
    return this.run(this.kept, true);
  }

  private run(bytes: Buffer, last: boolean): Buffer[] {
    const limit = last ? bytes.length : bytes.length - AHEAD;
    if (!last && limit <= this.scanned) {
      this.kept = bytes;
      return [];
    }
    const edits = [
      ...this.find(bytes, ALTER, limit, (at) => alterEdit(bytes, at)),
      ...this.find(bytes, TRIGGER, limit, (at) => triggerEdit(bytes, at)),
      ...CLOSINGS.flatMap((closing) => this.find(bytes, closing, limit, (at) => closingEdit(bytes, at))),
    ].sort((a, b) => a.at - b.at);
    // Never negative: subarray() would count from the end, and send what is not looked at yet.
    const until = last ? bytes.length : Math.max(0, limit - BEHIND, ...edits.map((edit) => edit.at + edit.length));
    if (until === 0) {
      // Nothing can be sent yet, not even the line end in front.
      this.kept = bytes;
      this.scanned = limit;
      return [];
    }
    const out: Buffer[] = [];
    let from = this.started ? 0 : 1;
    this.started = true;
    for (const edit of edits) {
      out.push(bytes.subarray(from, edit.at), edit.at === 0 && from === 1 ? edit.by.subarray(1) : edit.by);
      from = edit.at + edit.length;
    }
    out.push(bytes.subarray(from, until));
    this.kept = Buffer.from(bytes.subarray(until));
    this.scanned = Math.max(0, limit - until);
    return out.filter((part) => part.length > 0);
  }

  private find(bytes: Buffer, words: Buffer, limit: number, edit: (at: number) => Edit | null): Edit[] {
    const found: Edit[] = [];
    for (let at = bytes.indexOf(words, this.scanned); at >= 0 && at < limit; at = bytes.indexOf(words, at + 1)) {
      const made = edit(at);
      if (made) found.push(made);
    }
    return found;
  }
}

function alterEdit(bytes: Buffer, at: number): Edit | null {
  const match = ALTER_LINE.exec(bytes.subarray(at, at + AHEAD).toString('latin1'));
  return match && { at, length: match[0].length, by: Buffer.from(`${NAMELESS_ALTER}${match[1] ?? ''}`, 'latin1') };
}

function triggerEdit(bytes: Buffer, at: number): Edit | null {
  const match = TRIGGER_HEAD.exec(bytes.subarray(at, at + AHEAD).toString('latin1'));
  const head = match ? plainHead(match[2] ?? '') : null;
  if (!match || head === null || head.length === head.text.length) return null;
  const before = match[1] ?? '';
  return { at, length: before.length + head.length, by: Buffer.from(before + head.text, 'latin1') };
}

/** Takes away the semicolons right before the closing. */
function closingEdit(bytes: Buffer, at: number): Edit | null {
  let from = at;
  while (from > 0 && at - from < BEHIND && /[;\s]/.test(String.fromCharCode(bytes[from - 1] ?? 0))) from -= 1;
  return bytes.subarray(from, at).includes(0x3b) ? { at: from, length: at - from, by: Buffer.alloc(0) } : null;
}
