import type { FileHandle } from 'node:fs/promises';
import { open, rename } from 'node:fs/promises';
import type { Spool } from './spool.js';
import { segmentOf, segmentStart } from './wal-names.js';

/**
 * Writes log into the spool: the segment under way as `….partial`, a whole one under its name. Over what an earlier run left of a segment:
 * nothing of that is lost should the server not send as much again.
 */
export class WalWriter {
  private readonly spool: Spool;
  private open: { readonly name: string; readonly file: FileHandle } | null = null;

  constructor(spool: Spool) {
    this.spool = spool;
  }

  async write(timeline: number, lsn: bigint, bytes: Buffer): Promise<void> {
    const { spool } = this;
    for (let done = 0; done < bytes.length; ) {
      const at = lsn + BigInt(done);
      const segment = segmentOf(timeline, at, spool.segmentBytes);
      const offset = Number(at - segmentStart(segment, spool.segmentBytes));
      const part = bytes.subarray(done, done + spool.segmentBytes - offset);
      const file = await this.fileFor(spool.name(segment, true));
      for (let put = 0; put < part.length; )
        put += (await file.write(part, put, part.length - put, offset + put)).bytesWritten;
      done += part.length;
      if (offset + part.length < spool.segmentBytes) continue;
      await this.close();
      await rename(spool.path(spool.name(segment, true)), spool.path(spool.name(segment, false)));
    }
  }

  async close(): Promise<void> {
    const { open: last } = this;
    this.open = null;
    await last?.file.close();
  }

  private async fileFor(name: string): Promise<FileHandle> {
    if (this.open?.name === name) return this.open.file;
    await this.close();
    const path = this.spool.path(name);
    const file = await open(path, 'r+', 0o600).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
      return open(path, 'wx+', 0o600);
    });
    this.open = { name, file };
    return file;
  }
}
