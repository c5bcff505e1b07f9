import { findUser } from '../../catalog/accounts/users.js';
import { findInstallation } from '../../catalog/installations.js';
import { TidemarkError } from '../../domain/errors.js';
import type { MeResource } from '../../domain/schemas/accounts.js';
import type { Principal, UsecaseContext } from '../context.js';

/** Who the caller is and what it may do. */
export async function getMe(context: UsecaseContext, principal: Principal): Promise<MeResource> {
  const db = context.catalog.prisma;
  const [user, installation] = await Promise.all([findUser(db, principal.userId), findInstallation(db)]);
  // The user was removed between the check of the token and now.
  if (!user) throw new TidemarkError('unauthenticated', 'The user of this token is gone.');
  return {
    id: user.id,
    email: user.email,
    role: principal.role,
    scopes: [...principal.scopes],
    tokenId: principal.tokenId,
    installationId: context.installationId,
    masterKeyConfirmedAt: installation?.masterKeyConfirmedAt?.toISOString() ?? null,
  };
}
