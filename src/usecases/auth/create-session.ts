import type { Session } from '../../catalog/accounts/sessions.js';
import { insertSession } from '../../catalog/accounts/sessions.js';
import { findUserByEmail } from '../../catalog/accounts/users.js';
import { recordAudit } from '../../catalog/audit-events.js';
import { TidemarkError } from '../../domain/errors.js';
import { newId } from '../../domain/ids.js';
import type { CreateSession, SessionResource } from '../../domain/schemas/accounts.js';
import type { UsecaseContext } from '../context.js';
import { verifyPassword } from './passwords.js';
import { hashSecret, newSessionSecret } from './secrets.js';

/** How long a browser stays signed in, in milliseconds. */
export const sessionLifetimeMs = 12 * 3600 * 1000;

export function toSessionResource(session: Session): SessionResource {
  return {
    id: session.id,
    userId: session.userId,
    createdAt: session.createdAt.toISOString(),
    expiresAt: session.expiresAt.toISOString(),
  };
}

/**
 * Signs a browser in. The secret goes into the cookie and nowhere else. A wrong password and an unknown address get the same
 * answer after the same time.
 */
export async function createSession(
  context: Pick<UsecaseContext, 'catalog'>,
  requestId: string,
  input: CreateSession,
): Promise<{ session: SessionResource; secret: string }> {
  const db = context.catalog.prisma;
  const user = await findUserByEmail(db, input.email);
  const right = await verifyPassword(input.password, user?.passwordHash ?? null);
  if (!user || !right) {
    if (user) {
      const actor = { userId: user.id, tokenId: null, requestId };
      await recordAudit(db, actor, 'session.refused', user.id);
    }
    throw new TidemarkError('unauthenticated', 'The e-mail address or the password is wrong.');
  }
  const secret = newSessionSecret();
  const session = await db.$transaction(async (tx) => {
    const row = await insertSession(tx, {
      id: newId('session'),
      userId: user.id,
      hash: hashSecret(secret),
      expiresAt: new Date(Date.now() + sessionLifetimeMs),
    });
    const actor = { userId: user.id, tokenId: null, requestId };
    await recordAudit(tx, actor, 'session.created', row.id);
    return row;
  });
  return { session: toSessionResource(session), secret };
}
