import { mkdir, open, stat } from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import type { Readable } from 'node:stream';
import { addAbortSignal, pipeline } from 'node:stream';
import { extract } from 'tar-stream';
import type { RunAsUser } from '../../../platform/run-as.js';
import { giveTo } from '../../../platform/run-as.js';
import type { RecoverablePart } from '../../chain-engine.js';
import type { SandboxPlace } from './sandbox-place.js';
import { cancelled, failed } from './sandbox-place.js';
import { WritesBehind } from './writes-behind.js';

/** What the tar itself is the cause of; anything else that goes wrong while it is read is the store's. */
class BadEntry extends Error {}

/**
 * Unpacks a tar file of a backup into a folder, for the sandbox's user. Only files and folders, only below the folder and never over
 * anything that is there, for we may be root. What is unpacked the caller verifies, file by file.
 *
 * Not by the tar program: it reads a pipe and writes in turn, on one core, and a base backup took twice as long.
 */
export async function unpackPart(place: SandboxPlace, part: RecoverablePart, into: string): Promise<void> {
  let unreadable: unknown = null;
  const behind = new WritesBehind();
  try {
    const packed = (await part.openUnhashed().catch((error: unknown) => {
      unreadable = error;
      throw error;
    })) as Readable;
    // Before the pipeline, whose own error would be that of its last stream.
    packed.once('error', (error) => {
      unreadable ??= error;
    });
    const tar = extract();
    pipeline(addAbortSignal(place.signal, packed), tar, () => {});
    for await (const entry of tar) {
      if (place.signal.aborted) throw cancelled();
      const path = join(into, plainName(entry.header.name));
      if (entry.header.type === 'directory') {
        await makeFolder(path, place.user);
        entry.resume();
      } else if (entry.header.type === 'file') await writeFile(entry as unknown as Readable, path, place.user, behind);
      else throw new BadEntry(`${entry.header.name} is neither a file nor a folder`);
    }
    await behind.done();
  } catch (error) {
    await behind.settled();
    if (place.signal.aborted) throw cancelled();
    if (unreadable !== null) throw unreadable;
    const failure = failed(`Unpacking ${part.name}`, error instanceof Error ? error.message : String(error));
    // Damage in the store may look like a tar that is none before it shows, and damage is what another backup can be chosen for.
    if (failure.code === 'sandbox_failed') await readToEnd(part);
    throw failure;
  }
}

/** A name below the folder, whatever the tar says. */
function plainName(name: string): string {
  const plain = posix.normalize(name);
  if (posix.isAbsolute(plain) || plain === '..' || plain.startsWith('../'))
    throw new BadEntry(`${JSON.stringify(name)} leads out of the folder`);
  return plain;
}

/** The folders above it too: a server sends its tablespaces before the folder in which they are. */
async function makeFolder(path: string, user: RunAsUser | undefined): Promise<void> {
  const isThere = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (isThere) return;
  await makeFolder(dirname(path), user);
  await mkdir(path, { mode: 0o700 });
  giveTo(user, path);
}

/** One piece after the other: a file's lock makes its writers wait, and spin meanwhile. The next files are begun while the last is written. */
async function writeFile(
  content: Readable,
  path: string,
  user: RunAsUser | undefined,
  behind: WritesBehind,
): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  let written = user ? file.chown(user.uid, user.gid) : Promise.resolve();
  try {
    let at = 0;
    for await (const chunk of content as AsyncIterable<Buffer>) {
      const from = at;
      at += chunk.length;
      written = written.then(() => writeAll(file, chunk, from));
      await behind.add(written);
    }
  } finally {
    await behind.add(written.finally(() => file.close()));
  }
}

async function writeAll(file: Awaited<ReturnType<typeof open>>, piece: Buffer, at: number): Promise<void> {
  for (let done = 0; done < piece.length; )
    done += (await file.write(piece, done, piece.length - done, at + done)).bytesWritten;
}

async function readToEnd(part: RecoverablePart): Promise<void> {
  for await (const _ of await part.openUnhashed());
}
