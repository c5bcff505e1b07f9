import { POSTGRES_INCREMENTAL_FROM } from '../../../domain/incremental-kind.js';
import type { Tools } from '../../shared/find-tools.js';
import { findPostgresTools } from '../tools.js';

/** The file of a base backup that names all others; the parent of an incremental is known by it. */
export const MANIFEST_NAME = 'backup_manifest';
/** The part of a base backup: one tar, the manifest its last file. */
export const BASE_PART_NAME = 'base.tar';

/** From here on a server can tell which blocks changed since an earlier backup. */
export const INCREMENTAL_FROM = POSTGRES_INCREMENTAL_FROM;

/** What takes a physical backup. The same major as the server: what it writes is opened by that major's programs. */
export function findBackupTool(major: string, toolRoots: readonly string[]): Promise<Tools> {
  return findPostgresTools(major, toolRoots, ['pg_basebackup']);
}

/** What a sandbox of that major runs. */
export function findSandboxPrograms(major: string, toolRoots: readonly string[]): Promise<Tools> {
  return findPostgresTools(major, toolRoots, ['postgres', 'pg_controldata', 'pg_verifybackup']);
}
