import { TidemarkError } from '../../domain/errors.js';

/** Longest name of a database, in characters. */
const MAX_NAME = 64;

const stagingPrefix = (restoreId: string) => `tm_stage_${restoreId}_`;

export function stagingName(restoreId: string, attempt: number): string {
  return `${stagingPrefix(restoreId)}${attempt}`;
}

export function isStagingOf(restoreId: string, database: string): boolean {
  const rest = database.startsWith(stagingPrefix(restoreId)) ? database.slice(stagingPrefix(restoreId).length) : '';
  return /^\d+$/.test(rest);
}

/** Any staging database, whichever restore it belongs to. */
export function isStaging(database: string): boolean {
  return database.startsWith('tm_stage_');
}

/** Table inside a staging database that keeps what the server itself cannot hold before the swap; never moved, never compared. */
export const NOTES_TABLE = 'tidemark__restore_notes';

/** A kept former content may be dropped; nothing else ever is. */
export function isKeptName(database: string): boolean {
  return /__(?:before|reverted)_/.test(database);
}

export function requireFittingName(name: string): void {
  if ([...name].length <= MAX_NAME && name.length > 0) return;
  throw new TidemarkError('invalid_request', `"${name}" is not a database name of 1 to ${MAX_NAME} characters.`, {
    object: name,
  });
}
