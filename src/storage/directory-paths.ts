import { realpath } from 'node:fs/promises';
import { dirname, isAbsolute, join, sep } from 'node:path';
import { TidemarkError } from '../domain/errors.js';
import { normalisePrefix } from './layout.js';

/** Folders under which directory destinations may lie; `any` only where the caller is the operator at the machine (`tidemark extract`). */
export type DirectoryRoots = readonly string[] | 'any';

const isInside = (path: string, root: string) =>
  path === root || path.startsWith(root.endsWith(sep) ? root : root + sep);

function refused(path: string, why: string): TidemarkError {
  return new TidemarkError('path_not_allowed', `The directory ${path} ${why}.`, {
    object: path,
    fields: [{ field: 'path', message: 'an absolute path of a folder under the configured roots' }],
  });
}

/**
 * Resolves a destination's folder. It must be absolute, without `..`, be there, and lie under a root AFTER symbolic links are resolved on
 * both sides: a link inside a root must not lead out of it. Throws `path_not_allowed` or `destination_missing`.
 */
export async function resolveBase(path: string, prefix: string, roots: DirectoryRoots): Promise<string> {
  if (!isAbsolute(path) || path.includes('\0') || path.split('/').includes('..')) {
    throw refused(JSON.stringify(path), 'is not an absolute path without ..');
  }
  const subfolder = normalisePrefix(prefix);
  const real = await realpath(path).catch((error: NodeJS.ErrnoException) => error);
  if (roots !== 'any') {
    const realRoots = await Promise.all(roots.map((root) => realpath(root).catch(() => null)));
    // A folder that is not there is judged by what of its path is there: «missing» must not tell about places outside.
    const judged = typeof real === 'string' ? real : await nearestReal(path);
    if (!realRoots.some((root) => root !== null && isInside(judged, root))) {
      const none = roots.length === 0 ? ': no roots are configured (TIDEMARK_DIRECTORY_ROOTS)' : '';
      throw refused(path, `is outside the configured roots${none}`);
    }
  }
  if (typeof real !== 'string') {
    if (real.code === 'ENOENT' || real.code === 'ENOTDIR') {
      throw new TidemarkError('destination_missing', `There is no directory ${path}.`, { object: path });
    }
    throw new TidemarkError('destination_denied', `The directory ${path} cannot be entered (${real.code}).`, {
      object: path,
    });
  }
  return subfolder === '' ? real : join(real, subfolder);
}

async function nearestReal(path: string): Promise<string> {
  for (let dir = dirname(path); ; dir = dirname(dir)) {
    const real = await realpath(dir).catch(() => null);
    if (real !== null) return real;
    if (dir === dirname(dir)) return dir;
  }
}

/** Refuses a folder below the base that a symbolic link leads elsewhere; call it for the parent of every file that is written or read. */
export async function assertInside(parent: string, base: string): Promise<void> {
  const real = await realpath(parent);
  // The prefix part of the base may not be there before the first write, so the base itself is resolved here as well.
  if (real !== parent || !isInside(real, base))
    throw refused(parent, 'leads outside the destination by a symbolic link');
}
