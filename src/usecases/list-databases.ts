import { findDatabases } from '../catalog/databases.js';
import type { Page } from '../domain/schemas/common.js';
import type { DatabaseResource, ListDatabasesQuery } from '../domain/schemas/databases.js';
import type { Principal, UsecaseContext } from './context.js';
import { presentDatabase } from './present/present-database.js';

export async function listDatabases(
  context: UsecaseContext,
  principal: Principal,
  query: ListDatabasesQuery,
): Promise<Page<DatabaseResource>> {
  const { rows, nextCursor } = await findDatabases(context.catalog.prisma, principal, query);
  return { items: rows.map(presentDatabase), nextCursor };
}
