import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { TidemarkError } from '../../../domain/errors.js';
import type { RunAsUser } from '../../../platform/run-as.js';
import { giveTo } from '../../../platform/run-as.js';

/** First word of a file that holds changed blocks only. Source: PostgreSQL's backup/basebackup_incremental.h and basebackup.c, 17 and 18. */
const MAGIC = 0xd3ae1f0d;
const FIXED_HEADER_BYTES = 12;
const PREFIX = 'INCREMENTAL.';
/** Only relations are sent as changed blocks; elsewhere a file of such a name is one of the user's. */
const RELATIONS = /^(base|global|pg_tblspc)(\/|$)/;
const LABEL = 'backup_label';
/** Blocks that are read at once, in bytes; a multiple of every block size. */
const CHUNK_BYTES = 1024 * 1024;
const FILES_AT_A_TIME = 8;

export type ApplyIncremental = {
  /** Unpacked, verified and without links; becomes the data directory of the incremental. */
  readonly dir: string;
  /** The incremental that was built on it, likewise; used up and removed. */
  readonly incremental: string;
  readonly blockBytes: number;
  readonly user: RunAsUser | undefined;
  readonly signal: AbortSignal;
};

/**
 * Puts the changed blocks of an incremental where they belong. The same as `pg_combinebackup` makes of both, except that the cluster is not
 * written a second time and that no manifest remains, for it would name files of the incremental. Throws `sandbox_failed`, naming the file,
 * when the one does not continue the other; `dir` is of no use then.
 */
export async function applyIncremental(options: ApplyIncremental): Promise<void> {
  const { dir, incremental } = options;
  await requireParent(dir, incremental);
  await mergeFolder(options, '');
  const label = (await readFile(join(dir, LABEL), 'utf8')).replace(/^INCREMENTAL FROM .*\n/gm, '');
  await writeOver(join(dir, LABEL), label);
  await rm(join(dir, 'backup_manifest'), { force: true });
  await rm(incremental, { recursive: true, force: true });
}

const broken = (message: string, path: string) => new TidemarkError('sandbox_failed', message, { object: path });

/** An incremental tells where the backup began on which it was built. */
async function requireParent(dir: string, incremental: string): Promise<void> {
  const [parent, child] = await Promise.all([dir, incremental].map((at) => readFile(join(at, LABEL), 'utf8')));
  const read = (label: string | undefined, name: string) => new RegExp(`^${name}: (\\S+)`, 'm').exec(label ?? '')?.[1];
  const began = `${read(parent, 'START WAL LOCATION')} on timeline ${read(parent, 'START TIMELINE')}`;
  const wanted = `${read(child, 'INCREMENTAL FROM LSN')} on timeline ${read(child, 'INCREMENTAL FROM TLI')}`;
  if (began !== wanted)
    throw broken(
      `The incremental was built on a backup that began at ${wanted}; the one before it began at ${began}.`,
      LABEL,
    );
}

type Entries = ReadonlyMap<string, 'file' | 'folder'>;

async function list(root: string, path: string): Promise<Entries> {
  const entries = new Map<string, 'file' | 'folder'>();
  for (const entry of await readdir(join(root, path), { withFileTypes: true }))
    entries.set(entry.name, entry.isDirectory() ? 'folder' : 'file');
  return entries;
}

async function mergeFolder(options: ApplyIncremental, path: string): Promise<void> {
  const { dir, incremental, user, signal } = options;
  const before = await list(dir, path);
  const after = await list(incremental, path);
  const isChange = (name: string) => RELATIONS.test(path) && name.startsWith(PREFIX);
  const kept = new Set([...after.keys()].map((name) => (isChange(name) ? name.slice(PREFIX.length) : name)));
  for (const name of before.keys())
    if (!kept.has(name)) await rm(join(dir, path, name), { recursive: true, force: true });
  const files: string[] = [];
  const folders: string[] = [];
  for (const [name, kind] of after) {
    const old = before.get(isChange(name) ? name.slice(PREFIX.length) : name);
    if (old !== undefined && old !== kind)
      throw broken(`${join(path, name)} was a ${old} in the backup before.`, join(path, name));
    (kind === 'file' ? files : folders).push(name);
    if (kind === 'folder' && old === undefined) {
      await mkdir(join(dir, path, name), { mode: 0o700 });
      giveTo(user, join(dir, path, name));
    }
  }
  await Readable.from(files).forEach(
    async (name: string) => {
      if (isChange(name))
        await applyFile(join(incremental, path, name), join(dir, path, name.slice(PREFIX.length)), options.blockBytes);
      else await rename(join(incremental, path, name), join(dir, path, name));
    },
    { concurrency: FILES_AT_A_TIME, signal },
  );
  for (const name of folders) await mergeFolder(options, join(path, name));
}

/**
 * A relation's file as it was at the incremental. It was cut to `limit` blocks at some time since; behind that, what the incremental does
 * not hold are blocks that were never written, which are zeros.
 */
async function applyFile(changes: string, target: string, blockBytes: number): Promise<void> {
  const from = await open(changes, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const { blocks, limit, bodyAt } = await readHeader(from, changes, blockBytes);
    const length = blocks.reduce((longest, block) => Math.max(longest, block + 1), limit) * blockBytes;
    const to = await openTarget(target, changes);
    try {
      const { size } = await to.stat();
      if (size > limit * blockBytes) await to.truncate(limit * blockBytes);
      if (Math.min(size, limit * blockBytes) !== length) await to.truncate(length);
      await copyBlocks(from, to, { blocks, bodyAt, blockBytes, changes });
    } finally {
      await to.close();
    }
  } finally {
    await from.close();
  }
}

async function openTarget(target: string, changes: string): Promise<FileHandle> {
  try {
    return await open(target, constants.O_RDWR | constants.O_NOFOLLOW);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw broken('The incremental changes a file that the backup before it does not hold.', changes);
  }
}

async function readHeader(file: FileHandle, path: string, blockBytes: number) {
  const fixed = Buffer.alloc(FIXED_HEADER_BYTES);
  const { size } = await file.stat();
  const { bytesRead } = await file.read(fixed, 0, FIXED_HEADER_BYTES, 0);
  if (bytesRead < FIXED_HEADER_BYTES || fixed.readUInt32LE(0) !== MAGIC)
    throw broken('A file of the incremental does not begin as one of changed blocks does.', path);
  const count = fixed.readUInt32LE(4);
  const numbers = Buffer.alloc(count * 4);
  const unpadded = FIXED_HEADER_BYTES + numbers.length;
  // Padded to whole blocks when any block follows.
  const bodyAt = count === 0 ? unpadded : Math.ceil(unpadded / blockBytes) * blockBytes;
  if (size !== bodyAt + count * blockBytes)
    throw broken(`A file of the incremental has ${size} bytes, which is not what its header tells.`, path);
  if (count > 0) await file.read(numbers, 0, numbers.length, FIXED_HEADER_BYTES);
  const blocks = Array.from({ length: count }, (_, index) => numbers.readUInt32LE(index * 4));
  return { blocks, limit: fixed.readUInt32LE(8), bodyAt };
}

async function copyBlocks(
  from: FileHandle,
  to: FileHandle,
  { blocks, bodyAt, blockBytes, changes }: { blocks: number[]; bodyAt: number; blockBytes: number; changes: string },
): Promise<void> {
  const perChunk = CHUNK_BYTES / blockBytes;
  const buffer = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, blocks.length * blockBytes));
  for (let first = 0; first < blocks.length; first += perChunk) {
    const some = blocks.slice(first, first + perChunk);
    const wanted = some.length * blockBytes;
    const { bytesRead } = await from.read(buffer, 0, wanted, bodyAt + first * blockBytes);
    if (bytesRead !== wanted) throw broken('A file of the incremental ended early.', changes);
    for (let at = 0; at < some.length; ) {
      const block = some[at] ?? 0;
      let run = 1;
      while (some[at + run] === block + run) run += 1;
      await to.write(buffer, at * blockBytes, run * blockBytes, block * blockBytes);
      at += run;
    }
  }
}

/** In place: the file keeps its owner. */
async function writeOver(path: string, text: string): Promise<void> {
  const file = await open(path, constants.O_WRONLY | constants.O_TRUNC | constants.O_NOFOLLOW);
  try {
    await file.writeFile(text);
  } finally {
    await file.close();
  }
}
