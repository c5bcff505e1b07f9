const BLOCK = 512;

/** Fields of a tar header (POSIX ustar), in bytes from its beginning. */
const FIELD = { name: 0, mode: 100, uid: 108, gid: 116, size: 124, time: 136, checksum: 148, type: 156 } as const;
const MAGIC_AT = 257;
const PREFIX_AT = 345;
const PREFIX_BYTES = 155;
const DIRECTORY = '5';
const FILE = '0';

/**
 * Makes one tar of those that a server sends: the cluster's own, and one for each tablespace, whose entries get the folder that belongs to
 * it inside the data directory. Unpacked, tablespaces are folders there and not links: nothing leads to where the source keeps them.
 */
export class ArchiveMerger {
  /** Where the entries of the present archive go; null: where they say. */
  private folder: string | null = null;
  private header: Buffer = Buffer.alloc(0);
  /** Bytes of the present entry that are still to come, its padding included. */
  private left = 0;
  private ended = true;
  private readonly emit: (bytes: Buffer) => void;

  /** `emit` takes the one tar piece by piece and must copy what it keeps: the pieces are parts of what was given. */
  constructor(emit: (bytes: Buffer) => void) {
    this.emit = emit;
  }

  /** Starts the next archive. Throws when the one before has no end. */
  begin(folder: string | null): void {
    this.requireEnd();
    this.ended = false;
    this.folder = folder;
    if (folder !== null) this.emit(makeHeader(folder, DIRECTORY, 0, 0o700));
  }

  /** The next bytes of the present archive. */
  add(chunk: Buffer): void {
    let at = 0;
    // What follows an archive's end is padding.
    while (at < chunk.length && !this.ended) {
      if (this.left > 0) {
        const take = Math.min(this.left, chunk.length - at);
        this.emit(chunk.subarray(at, at + take));
        this.left -= take;
        at += take;
        continue;
      }
      const take = Math.min(BLOCK - this.header.length, chunk.length - at);
      this.header = Buffer.concat([this.header, chunk.subarray(at, at + take)]);
      at += take;
      if (this.header.length < BLOCK) continue;
      const header = this.header;
      this.header = Buffer.alloc(0);
      if (header[0] === 0) {
        this.ended = true;
        break;
      }
      if (header.toString('latin1', MAGIC_AT, MAGIC_AT + 5) !== 'ustar')
        throw new Error('a header of the tar is broken');
      this.left = Math.ceil(readSize(header) / BLOCK) * BLOCK;
      this.emit(this.folder === null ? header : moveInto(header, this.folder));
    }
  }

  /** The last file, and the end of the one archive. */
  end(name: string, body: Buffer): void {
    this.requireEnd();
    const padding = (BLOCK - (body.length % BLOCK)) % BLOCK;
    this.emit(makeHeader(name, FILE, body.length, 0o600));
    this.emit(body);
    this.emit(Buffer.alloc(padding + 2 * BLOCK));
  }

  private requireEnd(): void {
    if (!this.ended) throw new Error('an archive of it has no end');
  }
}

/** Octal text, or base 256 with the first bit set (for more than 8 GiB). */
function readSize(header: Buffer): number {
  const field = header.subarray(FIELD.size, FIELD.size + 12);
  if (((field[0] ?? 0) & 0x80) === 0) return Number.parseInt(field.toString('latin1').replaceAll('\0', ' '), 8) || 0;
  let value = 0;
  for (const byte of field.subarray(1)) value = value * 256 + byte;
  return value;
}

function moveInto(header: Buffer, folder: string): Buffer {
  if (header[PREFIX_AT] !== 0) throw new Error('a name in the tar is too long');
  header.write(folder, PREFIX_AT, PREFIX_BYTES, 'latin1');
  return seal(header);
}

function makeHeader(name: string, type: string, size: number, mode: number): Buffer {
  const header = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, bytes: number) =>
    header.write(value.toString(8).padStart(bytes - 1, '0'), at, 'latin1');
  header.write(name, FIELD.name, 'latin1');
  octal(mode, FIELD.mode, 8);
  octal(0, FIELD.uid, 8);
  octal(0, FIELD.gid, 8);
  octal(size, FIELD.size, 12);
  octal(Math.floor(Date.now() / 1000), FIELD.time, 12);
  header.write(type, FIELD.type, 'latin1');
  header.write('ustar\u000000', MAGIC_AT, 'latin1');
  return seal(header);
}

/** The checksum counts its own field as spaces. */
function seal(header: Buffer): Buffer {
  header.fill(' ', FIELD.checksum, FIELD.checksum + 8);
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, FIELD.checksum, 'latin1');
  return header;
}
