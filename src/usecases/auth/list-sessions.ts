import { findSessions } from '../../catalog/accounts/sessions.js';
import type { SessionResource } from '../../domain/schemas/accounts.js';
import type { Page, PageQuery } from '../../domain/schemas/common.js';
import type { Principal, UsecaseContext } from '../context.js';
import { toSessionResource } from './create-session.js';

/** The caller's own sessions that still count, newest first. */
export async function listSessions(
  context: UsecaseContext,
  principal: Principal,
  query: PageQuery,
): Promise<Page<SessionResource>> {
  const { rows, nextCursor } = await findSessions(context.catalog.prisma, principal, query);
  return { items: rows.map(toSessionResource), nextCursor };
}
