import type { ErrorCode } from '../domain/errors.js';
import { isTidemarkError, TidemarkError } from '../domain/errors.js';

/** Wraps an error of the body that is written (a failed dump tool), so that it is not taken for one of the file system. */
export class BodyFailure extends Error {
  constructor(cause: unknown) {
    super('The body failed.', { cause });
    this.name = 'BodyFailure';
  }
}

const FILE_ERRORS: Readonly<Record<string, { code: ErrorCode; why: string }>> = {
  ENOSPC: { code: 'destination_full', why: 'no space is left' },
  EDQUOT: { code: 'destination_full', why: 'the quota is used up' },
  EFBIG: { code: 'destination_full', why: 'the file system takes no larger file' },
  EACCES: { code: 'destination_denied', why: 'permission is missing' },
  EPERM: { code: 'destination_denied', why: 'permission is missing' },
  EROFS: { code: 'destination_denied', why: 'the file system is read-only' },
  ELOOP: { code: 'path_not_allowed', why: 'it is a symbolic link' },
  ENOENT: { code: 'object_missing', why: 'it is not there' },
  ENOTDIR: { code: 'object_missing', why: 'it is not there' },
};

/** Errors of the file system in our words; what comes from the body that is written (a failed tool) is passed on as it is. */
export function mapFileError(error: unknown, what: string, key: string, location: string): unknown {
  if (isTidemarkError(error)) return error;
  if (error instanceof BodyFailure) return error.cause;
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) return error;
  const known = FILE_ERRORS[code] ?? { code: 'destination_unreachable' as const, why: code };
  return new TidemarkError(known.code, `Could not ${what} ${key} in ${location}: ${known.why}.`, { object: key });
}
