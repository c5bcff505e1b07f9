/** The last line that a finished dump has, whatever the server's language. */
const END_MARKER = /^-- Dump completed(?: on [^\n]*)?\n$/;
/** More than the longest end marker, in bytes. */
const TAIL_BYTES = 256;

/** Remembers the last bytes of a dump, to tell a whole one from one that was cut off between two statements. */
export class DumpTail {
  private last: Buffer = Buffer.alloc(0);

  add(chunk: Buffer): void {
    this.last =
      chunk.length >= TAIL_BYTES
        ? Buffer.from(chunk.subarray(-TAIL_BYTES))
        : Buffer.concat([this.last, chunk]).subarray(-TAIL_BYTES);
  }

  /** True when the last line is the dump tool's end marker. */
  endsWithMarker(): boolean {
    const text = this.last.toString('latin1');
    return END_MARKER.test(text.slice(text.lastIndexOf('\n', text.length - 2) + 1));
  }
}
