/**
 * Where everything lies in a destination (design section 3), as keys relative to the destination's prefix. No key is also a folder of
 * another: stores that keep objects as files cannot hold `x` beside `x/y`.
 */
import { TidemarkError } from '../domain/errors.js';

/** Everything of ours is below this; `v1` is the version of the layout. */
export const ROOT = 'tidemark/v1';

export const ownerKey = `${ROOT}/owner.json`;
export const probePrefix = `${ROOT}/probe`;

/** Under whose name a backup's objects lie: the server's that a full or incremental holds whole, the database's of a dump. */
export const backupOwner = (backup: { readonly databaseId: string; readonly serverId: string | null }) =>
  backup.serverId ?? backup.databaseId;

/** `<databaseId | serverId>/backups/<backupId>`: all of one backup. */
export const backupPrefix = (ownerId: string, backupId: string) => `${ROOT}/${ownerId}/backups/${backupId}`;

/** All that one attempt writes; of two attempts only the one that the manifest names counts. */
export const attemptPrefix = (ownerId: string, backupId: string, attemptId: string) =>
  `${backupPrefix(ownerId, backupId)}/${attemptId}`;

export const manifestKey = (ownerId: string, backupId: string) => `${backupPrefix(ownerId, backupId)}/manifest.json`;

/** The log archive of a server under a policy. */
export const archivePrefix = (serverId: string, policyId: string) => `${ROOT}/${serverId}/archive/${policyId}`;

/** Epoch and sequence number as sortable text; `<file>.<from>-<to>` says what is inside. The record lies beside its object, as `….json`. */
export const slicePrefix = (serverId: string, policyId: string, epoch: number) =>
  `${archivePrefix(serverId, policyId)}/${String(epoch).padStart(6, '0')}`;

export const sliceName = (seq: number, file: string, from: number, to: number) =>
  `${String(seq).padStart(10, '0')}-${file}.${from}-${to}`;

/** A wrapping key sealed under the present master key, written when the master key is rotated: manifests keep the sealing of their day. */
export const sealedKeyKey = (keyId: string) => `${ROOT}/keys/${keyId}.json`;

/** The `index`th object (from 0) of an artifact. The suffix says how to undo it by hand: decrypt, then `zstd -d`. */
export function objectKey(keyPrefix: string, name: string, index: number, encrypted: boolean): string {
  return `${keyPrefix}/${name}.${String(index).padStart(4, '0')}.zst${encrypted ? '.enc' : ''}`;
}

/** What a key is, by its place; null for what is not part of a backup. */
export function parseBackupKey(
  key: string,
): { ownerId: string; backupId: string; attemptId: string | null; isManifest: boolean } | null {
  const match = /^tidemark\/v1\/([^/]+)\/backups\/([^/]+)\/(?:(manifest\.json)|([^/]+)\/.+)$/.exec(key);
  if (!match?.[1] || !match[2]) return null;
  return { ownerId: match[1], backupId: match[2], attemptId: match[4] ?? null, isManifest: match[3] !== undefined };
}

/** Which archive an object below `slicePrefix` belongs to; null for what lies elsewhere. */
export function parseSlicePlace(key: string): { serverId: string; policyId: string; epoch: number } | null {
  const match = /^tidemark\/v1\/([^/]+)\/archive\/([^/]+)\/(\d{6})\/[^/]+$/.exec(key);
  if (!match?.[1] || !match[2]) return null;
  return { serverId: match[1], policyId: match[2], epoch: Number(match[3]) };
}

const SEGMENT = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/;

/** Refuses a key that could leave its place (`..`, a leading slash) or be taken for a temporary file: throws `path_not_allowed`. */
export function assertKey(key: string): void {
  if (key.length > 900 || !key.split('/').every((segment) => SEGMENT.test(segment))) {
    throw new TidemarkError('path_not_allowed', `The object name ${JSON.stringify(key)} is not one Tidemark writes.`, {
      object: key,
    });
  }
}

/**
 * The prefix of a destination without slashes at its ends. Throws `path_not_allowed` for path tricks: empty, `.` or `..` segments,
 * backslashes, control characters.
 */
export function normalisePrefix(prefix: string): string {
  const trimmed = prefix.replace(/^\/+|\/+$/g, '');
  if (trimmed === '') return '';
  const wrong = trimmed
    .split('/')
    .some((segment) => segment === '' || segment === '.' || segment === '..' || /[\\\x00-\x1f\x7f]/.test(segment));
  if (wrong || trimmed.length > 512) {
    throw new TidemarkError(
      'path_not_allowed',
      'The prefix of the destination must be plain path segments, without . or .. or backslashes, 512 characters at most.',
      { fields: [{ field: 'prefix', message: 'plain path segments such as team/backups' }] },
    );
  }
  return trimmed;
}
