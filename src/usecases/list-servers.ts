import { findServers } from '../catalog/servers.js';
import type { Page, PageQuery } from '../domain/schemas/common.js';
import type { ServerResource } from '../domain/schemas/databases.js';
import type { Principal, UsecaseContext } from './context.js';
import { presentServer } from './present/present-database.js';

/** Servers are found by checks; a user sees those on which a database of theirs is registered. */
export async function listServers(
  context: UsecaseContext,
  principal: Principal,
  query: PageQuery,
): Promise<Page<ServerResource>> {
  const { rows, nextCursor } = await findServers(context.catalog.prisma, principal, query);
  return { items: rows.map(presentServer), nextCursor };
}
