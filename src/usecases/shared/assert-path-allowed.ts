import { TidemarkError } from '../../domain/errors.js';
import type { UsecaseContext } from '../context.js';

/**
 * A directory must lie below a configured root. This looks at the text only, for an early answer; the worker resolves symlinks where
 * the directory really is and refuses again.
 */
export function assertPathAllowed(context: UsecaseContext, path: string): void {
  const roots = context.options.directoryRoots;
  if (roots.some((root) => path === root || path.startsWith(root.endsWith('/') ? root : `${root}/`))) return;
  const allowed = roots.length === 0 ? 'no root is configured' : `the roots are ${roots.join(', ')}`;
  throw new TidemarkError('path_not_allowed', `The path ${path} is not under a configured root (${allowed}).`, {
    object: path,
    fields: [{ field: '/path', message: 'must lie under a root of TIDEMARK_DIRECTORY_ROOTS' }],
  });
}
