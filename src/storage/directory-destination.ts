import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { link, lstat, mkdir, open, readdir, rename, rmdir, unlink } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { Readable } from 'node:stream';
import { isTidemarkError, TidemarkError } from '../domain/errors.js';
import type { Destination, DestinationConfig, StoredObjectInfo } from './destination.js';
import { BodyFailure, mapFileError } from './directory-errors.js';
import type { DirectoryRoots } from './directory-paths.js';
import { assertInside, resolveBase } from './directory-paths.js';
import { assertKey } from './layout.js';

type Options = { readonly signal: AbortSignal };

/** Temporary files begin with a dot, which no key does; they are never listed. */
const TEMPORARY = /^\..+\.partial$/;

/** A folder on a disk of the worker or a mounted share: for admins, under configured roots (design section 8). */
export class DirectoryDestination implements Destination {
  readonly type = 'directory';
  readonly location: string;
  private readonly path: string;
  private readonly prefix: string;
  private readonly roots: DirectoryRoots;

  constructor(config: Extract<DestinationConfig, { type: 'directory' }>, roots: DirectoryRoots) {
    this.path = config.path;
    this.prefix = config.prefix;
    this.roots = roots;
    this.location = config.prefix === '' ? config.path : join(config.path, config.prefix);
  }

  async put(key: string, body: Uint8Array, options: Options & { ifAbsent?: boolean }): Promise<void> {
    await this.write(key, options, options.ifAbsent ?? false, async (file) => {
      await file.writeFile(body);
      return body.length;
    });
  }

  async upload(
    key: string,
    body: Readable,
    options: Options & { onBytes?: (bytes: number) => void },
  ): Promise<{ bytes: number }> {
    try {
      const bytes = await this.write(key, options, false, async (file) => {
        let written = 0;
        try {
          for await (const chunk of body as AsyncIterable<Buffer>) {
            options.signal.throwIfAborted();
            await writeAll(file, chunk, (error) => mapFileError(error, 'write', key, this.location));
            written += chunk.length;
            options.onBytes?.(written);
          }
        } catch (error) {
          throw isTidemarkError(error) ? error : new BodyFailure(error);
        }
        return written;
      });
      return { bytes };
    } catch (error) {
      body.destroy();
      throw error;
    }
  }

  async read(key: string, options: Options): Promise<Readable> {
    const path = await this.locate(key, options);
    const file = await this.run('read', key, options, async () => {
      await assertInside(dirname(path), await this.base());
      return open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    });
    return Readable.from(this.chunks(file, key, options), { objectMode: false, highWaterMark: 1024 * 1024 });
  }

  async stat(key: string, options: Options): Promise<StoredObjectInfo | null> {
    const path = await this.locate(key, options);
    return this.run('read', key, options, async () => {
      try {
        const info = await lstat(path);
        return info.isFile() ? { key, bytes: info.size, modifiedAt: info.mtime.toISOString() } : null;
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code;
        if (code === 'ENOENT' || code === 'ENOTDIR') return null;
        throw error;
      }
    });
  }

  async *list(prefix: string, options: Options): AsyncGenerator<StoredObjectInfo> {
    const base = await this.base();
    for await (const path of this.walk(base, prefix, options)) {
      if (TEMPORARY.test(basename(path))) continue;
      const info = await lstat(path).catch(() => null);
      if (info) yield { key: relative(base, path), bytes: info.size, modifiedAt: info.mtime.toISOString() };
    }
  }

  async remove(keys: readonly string[], options: Options): Promise<void> {
    const base = await this.base();
    for (const key of keys) {
      const path = await this.locate(key, options);
      await this.run('remove', key, options, async () => {
        try {
          await assertInside(dirname(path), base);
          await unlink(path);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
        }
        await removeEmptyFolders(dirname(path), base);
      });
    }
  }

  async sweepUploads(prefix: string, options: Options & { olderThan: Date }): Promise<string[]> {
    const base = await this.base();
    const swept: string[] = [];
    for await (const path of this.walk(base, prefix, options)) {
      if (!TEMPORARY.test(basename(path))) continue;
      const info = await lstat(path).catch(() => null);
      if (!info || info.mtime >= options.olderThan) continue;
      await this.run('remove', relative(base, path), options, () => unlink(path));
      await removeEmptyFolders(dirname(path), base);
      swept.push(relative(base, path));
    }
    return swept;
  }

  close(): void {}

  private base(): Promise<string> {
    return resolveBase(this.path, this.prefix, this.roots);
  }

  private async locate(key: string, options: Options): Promise<string> {
    options.signal.throwIfAborted();
    assertKey(key);
    return join(await this.base(), key);
  }

  /** Writes beside the place, makes it durable, then names it: a reader or a crash sees the whole object or none. */
  private async write(
    key: string,
    options: Options,
    ifAbsent: boolean,
    fill: (file: FileHandle) => Promise<number>,
  ): Promise<number> {
    const path = await this.locate(key, options);
    const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.partial`);
    return this.run('write', key, options, async () => {
      const file = await this.createIn(dirname(path), temporary);
      try {
        const bytes = await fill(file);
        await file.sync();
        await file.close();
        if (ifAbsent) await linkNew(temporary, path, key);
        else await rename(temporary, path);
        await syncFolder(dirname(path));
        return bytes;
      } catch (error) {
        await file.close().catch(() => {});
        throw error;
      } finally {
        await unlink(temporary).catch(() => {});
      }
    });
  }

  private async createIn(folder: string, temporary: string): Promise<FileHandle> {
    for (let tries = 0; ; tries += 1) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      try {
        await assertInside(folder, await this.base());
        return await open(temporary, 'wx', 0o600);
      } catch (error) {
        // A removal that ran beside us may have taken the folder while it was still empty.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || tries >= 3) throw error;
      }
    }
  }

  private async *chunks(file: FileHandle, key: string, options: Options): AsyncGenerator<Buffer> {
    try {
      for (;;) {
        options.signal.throwIfAborted();
        const buffer = Buffer.allocUnsafe(512 * 1024);
        const { bytesRead } = await this.run('read', key, options, () => file.read(buffer, 0, buffer.length));
        if (bytesRead === 0) return;
        yield buffer.subarray(0, bytesRead);
      }
    } finally {
      await file.close();
    }
  }

  private async *walk(base: string, prefix: string, options: Options): AsyncGenerator<string> {
    const folder = join(base, prefix);
    assertKey(prefix.replace(/\/$/, ''));
    const entries = await this.run('list', prefix, options, async () => {
      try {
        return await readdir(folder, { withFileTypes: true });
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code;
        if (code === 'ENOENT' || code === 'ENOTDIR') return [];
        throw error;
      }
    });
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      // Symbolic links are not followed: nothing of ours is one.
      if (entry.isDirectory() && !entry.name.startsWith('.'))
        yield* this.walk(base, `${prefix.replace(/\/$/, '')}/${entry.name}`, options);
      else if (entry.isFile()) yield join(folder, entry.name);
    }
  }

  private async run<T>(what: string, key: string, options: Options, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (options.signal.aborted) throw options.signal.reason;
      throw mapFileError(error, what, key, this.location);
    }
  }
}

async function writeAll(file: FileHandle, chunk: Buffer, map: (error: unknown) => unknown): Promise<void> {
  try {
    for (let offset = 0; offset < chunk.length; ) {
      offset += (await file.write(chunk, offset)).bytesWritten;
    }
  } catch (error) {
    throw map(error);
  }
}

async function linkNew(temporary: string, path: string, key: string): Promise<void> {
  try {
    await link(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw new TidemarkError('manifest_exists', `${key} is there already and was not replaced.`, { object: key });
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function removeEmptyFolders(folder: string, base: string): Promise<void> {
  for (let dir = folder; dir !== base && dir.startsWith(base); dir = dirname(dir)) {
    try {
      await rmdir(dir);
    } catch {
      // Not empty, or gone already.
      return;
    }
  }
}
