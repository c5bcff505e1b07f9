import { createHash, randomBytes } from 'node:crypto';

/** Text before a token's random part, so that a leaked one is recognised by people and by secret scanners. */
export const tokenPrefix = 'tmk_';

/** A new bearer token: 256 random bits. */
export function newTokenSecret(): string {
  return `${tokenPrefix}${randomBytes(32).toString('base64url')}`;
}

/** A new session secret for the cookie: 256 random bits. */
export function newSessionSecret(): string {
  return randomBytes(32).toString('base64url');
}

/** A password a person can type: 120 random bits. */
export function newPassword(): string {
  return randomBytes(15).toString('base64url');
}

/**
 * How tokens and session secrets are kept. A plain SHA-256 is right here: 256 random bits cannot be guessed, so a slow hash would
 * only slow every request, and a lookup by hash leaks nothing through its timing.
 */
export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}
