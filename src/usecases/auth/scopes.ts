import { TidemarkError } from '../../domain/errors.js';
import type { TokenScope, UserRole } from '../../domain/statuses.js';
import type { Principal } from '../context.js';

// Each scope contains the ones before it: who may change may read.
const ladder: readonly TokenScope[] = ['read', 'operate', 'admin'];

/** All scopes that the given ones amount to. */
export function expandScopes(scopes: readonly string[]): TokenScope[] {
  const highest = Math.max(-1, ...scopes.map((scope) => ladder.indexOf(scope as TokenScope)));
  return ladder.slice(0, highest + 1);
}

/** The most that a role may do: a user's token never carries `admin`. */
export function scopesOfRole(role: UserRole): TokenScope[] {
  return expandScopes([role === 'admin' ? 'admin' : 'operate']);
}

/** What a token may do now: what it was made with, and no more than its user's role allows today. */
export function effectiveScopes(role: UserRole, scopes: readonly string[]): TokenScope[] {
  const allowed = scopesOfRole(role);
  return expandScopes(scopes).filter((scope) => allowed.includes(scope));
}

/** Throws `forbidden` naming the scope that is missing. */
export function requireScope(principal: Principal, scope: TokenScope): void {
  if (principal.scopes.includes(scope)) return;
  const has = principal.scopes.at(-1) ?? 'none';
  throw new TidemarkError('forbidden', `This needs the scope \`${scope}\`; the caller has \`${has}\`.`);
}

/** For what only administrators may do, whatever the scopes: a demoted admin's tokens end with the role. */
export function requireAdmin(principal: Principal): void {
  requireScope(principal, 'admin');
  if (principal.role !== 'admin') throw new TidemarkError('forbidden', 'Only administrators may do that.');
}
