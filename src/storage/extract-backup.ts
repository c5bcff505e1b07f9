import { randomBytes } from 'node:crypto';
import { link, mkdir, open, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { TidemarkError } from '../domain/errors.js';
import { writePieces } from '../platform/write-pieces.js';
import type { Destination } from './destination.js';
import type { Artifact } from './manifest.js';
import { readArtifact } from './read-artifact.js';
import type { VerifiedManifest } from './read-manifest.js';
import { verifyArtifacts } from './verify-artifact.js';

export type ExtractBackup = {
  readonly destination: Destination;
  readonly backup: VerifiedManifest;
  /** Folder for the files; made when it is not there. */
  readonly outDir: string;
  /** Replace files of the same names. */
  readonly overwrite: boolean;
  /** Also write the fingerprint, a JSON file. */
  readonly withFingerprint: boolean;
  readonly signal: AbortSignal;
  readonly onProgress?: (phase: 'verify' | 'write', bytes: number) => void;
};

export type ExtractedFile = { readonly path: string; readonly bytes: number; readonly sha256: string };

/**
 * Turns a backup into the engine's own files. All stored objects are verified first; each file appears under its name only when its last
 * byte is verified and durable. Throws `object_corrupt`, `object_missing`, or `target_exists` naming a file that is there already.
 */
export async function extractBackup(options: ExtractBackup): Promise<ExtractedFile[]> {
  const { destination, backup, signal } = options;
  const artifacts = backup.manifest.artifacts.filter((it) => it.role !== 'fingerprint' || options.withFingerprint);
  await mkdir(options.outDir, { recursive: true });
  await verifyArtifacts({ destination, artifacts, signal, onBytes: (bytes) => options.onProgress?.('verify', bytes) });
  const files: ExtractedFile[] = [];
  let before = 0;
  for (const artifact of artifacts) {
    files.push(await writeFile(options, artifact, (bytes) => options.onProgress?.('write', before + bytes)));
    before += artifact.bytes;
  }
  return files;
}

async function writeFile(
  options: ExtractBackup,
  artifact: Artifact,
  onBytes: (bytes: number) => void,
): Promise<ExtractedFile> {
  const { destination, backup, signal } = options;
  const { installationId, backupId } = backup.manifest;
  if (!/^[\w-][\w.-]*$/.test(artifact.name)) {
    throw new TidemarkError('manifest_forged', `${JSON.stringify(artifact.name)} is not a file name of a backup.`);
  }
  const path = join(options.outDir, artifact.name);
  const temporary = join(options.outDir, `.${artifact.name}.${randomBytes(6).toString('hex')}.partial`);
  const file = await open(temporary, 'wx', 0o600);
  try {
    const context = { installation: installationId, backup: backupId };
    const plain = await readArtifact({ destination, artifact, key: backup.key, context, signal });
    let bytes = 0;
    for await (const chunk of plain as AsyncIterable<Buffer>) {
      await writePieces(file, chunk);
      bytes += chunk.length;
      onBytes(bytes);
    }
    await file.sync();
    await file.close();
    await place(temporary, path, options.overwrite);
  } finally {
    await file.close().catch(() => {});
    await unlink(temporary).catch(() => {});
  }
  return { path, bytes: artifact.bytes, sha256: artifact.sha256 };
}

async function place(temporary: string, path: string, overwrite: boolean): Promise<void> {
  if (overwrite) return rename(temporary, path);
  try {
    // A link, unlike a rename, does not replace what is there.
    await link(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw new TidemarkError('target_exists', `${path} is there already; use another folder or --overwrite.`, {
      object: path,
    });
  }
}
