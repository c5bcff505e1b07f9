import { TidemarkError } from '../../domain/errors.js';
import type { Principal } from '../context.js';

/** The same answer for what does not exist and for what belongs to another user. */
export function notFound(kind: string, id: string): TidemarkError {
  return new TidemarkError('not_found', `There is no ${kind} ${id}.`, { object: id });
}

/** Refuses a deletion while others need the object, naming them. */
export function stillReferenced(kind: string, id: string, references: readonly string[]): TidemarkError {
  return new TidemarkError(
    'still_referenced',
    `The ${kind} ${id} cannot be deleted while these need it: ${references.join(', ')}.`,
    { object: id, references },
  );
}

/** A request that is well formed but does not fit; `field` is a JSON pointer. */
export function invalidField(field: string, message: string): TidemarkError {
  return new TidemarkError('invalid_request', `${field} ${message}.`, { fields: [{ field, message }] });
}

/** Throws `forbidden` for everybody but admins. */
export function assertAdmin(principal: Principal, what: string): void {
  if (principal.role === 'admin') return;
  throw new TidemarkError('forbidden', `Only an administrator may ${what}.`);
}
