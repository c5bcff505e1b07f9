import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rm, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { logFileNumber as fileNumber } from '../../../domain/compare-positions.js';
import { takeoverOf } from '../../../domain/takeover-files.js';
import { isOfThisBoot, markBoot } from '../../shared/boot-mark.js';
import { clearInUseFlag } from '../binlog/in-use-flag.js';

const RUN = /^run-(\d+)$/;
const LOG_FILE = /\.\d+$/;

/** What one run of the receiver has written of a log file. */
export type SpoolCopy = {
  readonly run: number;
  readonly path: string;
  readonly bytes: number;
  /** The file that this run received after it: then this one is complete. */
  readonly next: string | null;
};

/**
 * The folder into which the receiver writes. Each of its runs has a folder of its own, because it writes the file with which it starts anew
 * from the beginning: what was received before stays until the new copy has proved to be the same, and outlives a source that has another
 * log by now or none of it.
 */
export class BinlogSpool {
  readonly dir: string;

  constructor(dir: string) {
    this.dir = dir;
  }

  private runDir(run: number): string {
    return join(this.dir, `run-${run}`);
  }

  /** Newest first. */
  private async runs(): Promise<number[]> {
    const names = await readdir(this.dir).catch(() => []);
    return names.flatMap((name) => Number(RUN.exec(name)?.[1] ?? []) || []).sort((a, b) => b - a);
  }

  /** Log files of a run, in order. */
  private async filesOf(run: number): Promise<string[]> {
    const names = await readdir(this.runDir(run)).catch(() => []);
    return names.filter((name) => LOG_FILE.test(name)).sort((a, b) => fileNumber(a) - fileNumber(b));
  }

  /** What there is of a file, newest run first. */
  async copies(name: string): Promise<SpoolCopy[]> {
    const found: SpoolCopy[] = [];
    for (const run of await this.runs()) {
      // Listed before the size is asked for: a file that has a successor does not grow any more.
      const files = await this.filesOf(run);
      const at = files.indexOf(name);
      if (at < 0) continue;
      const path = join(this.runDir(run), name);
      const bytes = await sizeOf(path);
      if (bytes !== null) found.push({ run, path, bytes, next: files[at + 1] ?? null });
    }
    return found;
  }

  /**
   * Keeps what an earlier run left when it goes on from `first` without a hole; removes everything else. After a start of the machine
   * nothing is kept: what was not written to its disk in time would have holes.
   */
  async prepare(first: string | null): Promise<void> {
    await mkdir(this.dir, { recursive: true, mode: 0o700 });
    if (first === null || !(await isOfThisBoot(this.dir)) || !(await this.goesOn(first))) {
      for (const name of await readdir(this.dir)) await rm(join(this.dir, name), { recursive: true, force: true });
    } else await this.prune(fileNumber(first) - 1);
    await markBoot(this.dir);
  }

  private async goesOn(first: string): Promise<boolean> {
    const names = await this.names();
    // Numbers of another server's files say nothing of these.
    if (names.some((name) => takeoverOf(name) !== takeoverOf(first))) return false;
    const numbers = names.map(fileNumber).filter((number) => number >= fileNumber(first));
    return numbers.length > 0 && numbers.every((number, index) => number === fileNumber(first) + index);
  }

  /** All files, once each, in order. */
  private async names(): Promise<string[]> {
    const names = new Set<string>();
    for (const run of await this.runs()) for (const name of await this.filesOf(run)) names.add(name);
    return [...names].sort((a, b) => fileNumber(a) - fileNumber(b));
  }

  /** The newest file, with which the next run starts. */
  async newest(): Promise<string | null> {
    return (await this.names()).at(-1) ?? null;
  }

  /** Makes the folder of the next run; of each file only the copy with the most bytes stays. */
  async beginRun(): Promise<string> {
    for (const name of await this.names()) {
      const copies = await this.copies(name);
      const most = Math.max(...copies.map((copy) => copy.bytes));
      const kept = copies.find((copy) => copy.bytes === most);
      for (const copy of copies) if (copy !== kept) await rm(copy.path, { force: true });
    }
    await this.removeEmptyRuns(0);
    const dir = this.runDir(((await this.runs())[0] ?? 0) + 1);
    await mkdir(dir, { recursive: true, mode: 0o700 });
    return dir;
  }

  /** Bytes that wait to be stored: those from `offset` of a file on, and all of the files after it. */
  async waitingBytes(from: { readonly file: string; readonly offset: number }): Promise<number> {
    let bytes = 0;
    for (const name of await this.names()) {
      if (fileNumber(name) < fileNumber(from.file)) continue;
      const most = Math.max(0, ...(await this.copies(name)).map((copy) => copy.bytes));
      bytes += name === from.file ? Math.max(0, most - from.offset) : most;
    }
    return bytes;
  }

  /** Removes older copies of a file that the one of this run replaces. */
  async dropOlder(name: string, run: number): Promise<void> {
    for (const copy of await this.copies(name)) if (copy.run < run) await rm(copy.path, { force: true });
    await this.removeEmptyRuns(run);
  }

  /** Removes files up to this number, but for the newest one: with it the receiver goes on. */
  async prune(number: number): Promise<void> {
    const newest = await this.newest();
    const [last] = await this.runs();
    for (const run of await this.runs()) {
      for (const name of await this.filesOf(run)) {
        if (fileNumber(name) <= number && name !== newest) await rm(join(this.runDir(run), name), { force: true });
      }
    }
    await this.removeEmptyRuns(last ?? 0);
  }

  /** But for the one into which the receiver writes. */
  private async removeEmptyRuns(current: number): Promise<void> {
    for (const run of await this.runs()) if (run !== current) await rmdir(this.runDir(run)).catch(() => {});
  }
}

async function sizeOf(path: string): Promise<number | null> {
  return stat(path).then(
    (found) => found.size,
    // Removed since it was listed.
    () => null,
  );
}

/** Exactly the bytes from `from` to `to`, as they are stored. Throws when the file is shorter. */
export async function readPart(path: string, from: number, to: number): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const body = Buffer.allocUnsafe(to - from);
    for (let done = 0; done < body.length; ) {
      const { bytesRead } = await file.read(body, done, body.length - done, from + done);
      if (bytesRead === 0) throw new Error(`${path} ends before byte ${to}`);
      done += bytesRead;
    }
    clearInUseFlag(body, from);
    return body;
  } finally {
    await file.close();
  }
}

/** SHA-256 of the first `to` bytes as they are stored; `onPiece` sees them. */
export async function hashPrefix(path: string, to: number, onPiece?: (piece: Buffer) => void) {
  const hash = createHash('sha256');
  if (to === 0) return hash;
  let at = 0;
  for await (const chunk of createReadStream(path, { end: to - 1, highWaterMark: 1024 * 1024 })) {
    const piece = chunk as Buffer;
    clearInUseFlag(piece, at);
    at += piece.length;
    hash.update(piece);
    onPiece?.(piece);
  }
  if (at < to) throw new Error(`${path} ends before byte ${to}`);
  return hash;
}
