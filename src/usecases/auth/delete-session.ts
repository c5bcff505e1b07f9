import { removeSession } from '../../catalog/accounts/sessions.js';
import { recordAudit } from '../../catalog/audit-events.js';
import { TidemarkError } from '../../domain/errors.js';
import type { Principal, UsecaseContext } from '../context.js';

/** Signs a browser out. Only the caller's own sessions; another's is `not_found`. */
export async function deleteSession(context: UsecaseContext, principal: Principal, sessionId: string): Promise<void> {
  await context.catalog.prisma.$transaction(async (tx) => {
    if (!(await removeSession(tx, sessionId, principal.userId))) {
      throw new TidemarkError('not_found', `There is no session ${sessionId}.`, { object: sessionId });
    }
    await recordAudit(tx, principal, 'session.deleted', sessionId);
  });
}
