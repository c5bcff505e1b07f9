import { Readable } from 'node:stream';
import { recordAudit } from '../catalog/audit-events.js';
import { TidemarkError } from '../domain/errors.js';
import type { Artifact, Manifest } from '../storage/manifest.js';
import { readArtifact } from '../storage/read-artifact.js';
import type { Principal, UsecaseContext } from './context.js';
import { requireBackup } from './get-backup.js';
import type { StoredBackup } from './shared/open-stored-backup.js';
import { openStoredBackup } from './shared/open-stored-backup.js';
import { assertMayDownload } from './shared/server-backups.js';

export type Download = {
  /** Safe in a Content-Disposition header. */
  readonly filename: string;
  /** Exact size of what the stream gives when nothing is wrong. */
  readonly bytes: number;
  /**
   * The engine's own file, decrypted and unpacked. It counts only when it ends without an error: hashes are known at the end, so the
   * route must break the connection on an error rather than end it.
   */
  readonly stream: Readable;
};

/**
 * Opens a completed backup for download: the named file, or the dump itself. SQL text kept in several files comes as one, in the order
 * in which it is read back. `signal` is the caller going away. Throws as `openStoredBackup`,
 * `invalid_request` for an unknown file, and `forbidden` for a whole server on which others have databases too.
 */
export async function downloadBackup(
  context: UsecaseContext,
  principal: Principal,
  input: { backupId: string; file?: string | undefined; signal: AbortSignal },
): Promise<Download> {
  const backup = await requireBackup(context, principal, input.backupId);
  await assertMayDownload(context, principal, backup);
  const stored = await openStoredBackup(context, backup, input.signal);
  try {
    const artifacts = chooseFiles(stored.manifest, input.file);
    const [first, ...rest] = artifacts;
    if (first === undefined) throw new TidemarkError('object_missing', `The backup ${backup.id} has no dump file.`);
    // Opened before the answer begins, so that a missing object is a problem document and not a broken connection.
    const head = await open(stored, first, input.signal);
    await recordAudit(context.catalog.prisma, principal, 'backup.downloaded', backup.id, { file: input.file ?? null });
    const stream = Readable.from(inOrder(stored, head, rest, input.signal), { objectMode: false });
    stream.once('close', () => stored.destination.close());
    return {
      filename: filenameOf(stored.manifest, input.file ?? first.name),
      bytes: artifacts.reduce((sum, artifact) => sum + artifact.bytes, 0),
      stream,
    };
  } catch (error) {
    stored.destination.close();
    throw error;
  }
}

function open({ manifest, destination, key }: StoredBackup, artifact: Artifact, signal: AbortSignal) {
  const context = { installation: manifest.installationId, backup: manifest.backupId };
  return readArtifact({ destination, artifact, key, context, signal });
}

async function* inOrder(
  stored: StoredBackup,
  head: Readable,
  rest: readonly Artifact[],
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  yield* head as AsyncIterable<Buffer>;
  for (const artifact of rest) yield* (await open(stored, artifact, signal)) as AsyncIterable<Buffer>;
}

function chooseFiles(manifest: Manifest, file: string | undefined): Artifact[] {
  const names = manifest.artifacts.map((artifact) => artifact.name);
  const refuse = (message: string) =>
    new TidemarkError('invalid_request', `The file of ${manifest.backupId} ${message}.`, {
      object: manifest.backupId,
      fields: [{ field: 'file', message }],
    });
  if (file !== undefined) {
    const chosen = manifest.artifacts.filter((artifact) => artifact.name === file);
    if (chosen.length === 0) throw refuse(`must be one of ${names.join(', ')}`);
    return chosen;
  }
  const dumps = manifest.artifacts.filter(({ role }) => role === 'dump' || role === 'base');
  if (dumps.length > 1 && !dumps.every((artifact) => artifact.name.endsWith('.sql'))) {
    throw refuse(`must be named: it has ${names.join(', ')}`);
  }
  return dumps;
}

/** `shop-2026-11-21T06-00-00Z-dump.sql`: letters, digits, dots and dashes only, whatever the database is called. */
function filenameOf(manifest: Manifest, name: string): string {
  const source = manifest.source.database.replace(/[^A-Za-z0-9]+/g, '-').replace(/^-+|-+$/g, '') || manifest.databaseId;
  const time = manifest.takenAt.replace(/\.\d+/, '').replace(/[^0-9TZ]+/g, '-');
  return `${source.slice(0, 64)}-${time}-${name}`;
}
