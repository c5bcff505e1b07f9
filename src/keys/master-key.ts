import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { TidemarkError } from '../domain/errors.js';
import { KEY_BYTES } from './encryption-sdk.js';
import { formatKey, parseKey } from './key-text.js';
import type { MasterKey } from './types.js';

export type LoadedMasterKey = {
  readonly key: MasterKey;
  readonly source: 'environment' | 'file';
  /** File that holds it; null when it came from the environment. */
  readonly path: string | null;
  /** True when this call generated it: say so until a person confirms that it is saved elsewhere. */
  readonly created: boolean;
};

/** Name of the file below TIDEMARK_HOME. */
export const MASTER_KEY_FILE = 'master.key';

/**
 * Loads the master key: `fromEnv` (TIDEMARK_MASTER_KEY) when given, else `<home>/master.key`, which is generated at the first start
 * (0600, durable before this returns; of two processes that start at once, both get the same key).
 * With `create: false` a missing file is an error: an installation that exists already must not get a second key.
 * Throws `master_key_invalid` naming the variable or file, never its content.
 */
export function loadMasterKey(options: {
  home: string;
  fromEnv: string | undefined;
  create?: boolean;
}): LoadedMasterKey {
  if (options.fromEnv) {
    const bytes = parseKey(options.fromEnv);
    if (!bytes)
      throw unusable('TIDEMARK_MASTER_KEY does not hold a key: it takes 32 bytes as base64 or 64 hex digits.');
    return { key: { bytes }, source: 'environment', path: null, created: false };
  }
  const path = join(options.home, MASTER_KEY_FILE);
  const found = readMasterKeyFile(path);
  if (found) return { key: found, source: 'file', path, created: false };
  if (options.create === false) {
    throw unusable(
      `${path} is missing, but this installation was made with a master key. Put the saved key there (mode 0600) or into TIDEMARK_MASTER_KEY.`,
    );
  }
  mkdirSync(options.home, { recursive: true, mode: 0o700 });
  const created = createKeyFile(options.home, path);
  const key = readMasterKeyFile(path);
  if (!key) throw unusable(`${path} was written and is gone again.`);
  return { key, source: 'file', path, created };
}

/** Reads a key file, or null when there is none. A file that others can read is refused: they may have copied it. */
export function readMasterKeyFile(path: string): MasterKey | null {
  let text: string;
  try {
    if ((statSync(path).mode & 0o077) !== 0) {
      throw unusable(`${path} can be read by other users. Run: chmod 600 '${path}'`);
    }
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof TidemarkError) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') return null;
    throw unusable(`${path} cannot be read (${code ?? 'unknown error'}).`);
  }
  const bytes = parseKey(text);
  if (!bytes) throw unusable(`${path} does not hold a key: it takes 32 bytes as base64.`);
  return { bytes };
}

/** A new random master key, for the first start and for rotation. */
export function newMasterKey(): MasterKey {
  return { bytes: Uint8Array.from(randomBytes(KEY_BYTES)) };
}

/**
 * Puts another master key in the place of `<home>/master.key`, durably; the former one stays as `master.key.previous` (0600), because it
 * opens the catalog again if a rotation broke off between this and its commit.
 */
export function replaceMasterKeyFile(home: string, key: MasterKey): { path: string; previous: string } {
  const path = join(home, MASTER_KEY_FILE);
  const previous = `${path}.previous`;
  const temporary = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  writeDurably(temporary, formatKey(key.bytes));
  rmSync(previous, { force: true });
  // Linked, not moved: there is no moment without a master.key.
  linkSync(path, previous);
  renameSync(temporary, path);
  syncFolder(home);
  return { path, previous };
}

/** Writes a key into a new file (0600). Throws `master_key_invalid` when something is there. */
export function writeNewKeyFile(path: string, key: MasterKey): void {
  try {
    writeDurably(path, formatKey(key.bytes));
  } catch (error) {
    throw unusable(`The key file ${path} cannot be written (${(error as NodeJS.ErrnoException).code}).`);
  }
}

/** Writes the key beside its place and links it in: a crash leaves no half key, and the loser of a race takes the winner's. */
function createKeyFile(home: string, path: string): boolean {
  const temporary = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  writeDurably(temporary, formatKey(newMasterKey().bytes));
  try {
    linkSync(temporary, path);
    syncFolder(home);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    unlinkSync(temporary);
  }
}

function syncFolder(path: string): void {
  const folder = openSync(path, 'r');
  fsyncSync(folder);
  closeSync(folder);
}

function writeDurably(path: string, text: string): void {
  const file = openSync(path, 'wx', 0o600);
  try {
    writeSync(file, `${text}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function unusable(message: string): TidemarkError {
  return new TidemarkError('master_key_invalid', message, { object: MASTER_KEY_FILE });
}
