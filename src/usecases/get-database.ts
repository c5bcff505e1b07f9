import type { DatabaseRow } from '../catalog/databases.js';
import { findDatabase } from '../catalog/databases.js';
import type { DatabaseResource } from '../domain/schemas/databases.js';
import type { Principal, UsecaseContext } from './context.js';
import { presentDatabase } from './present/present-database.js';
import { notFound } from './shared/refusals.js';

/** The row of a database that the principal may see; `not_found` otherwise. */
export async function requireDatabase(context: UsecaseContext, principal: Principal, id: string): Promise<DatabaseRow> {
  const row = await findDatabase(context.catalog.prisma, principal, id);
  if (row === null) throw notFound('database', id);
  return row;
}

export async function getDatabase(
  context: UsecaseContext,
  principal: Principal,
  input: { databaseId: string },
): Promise<DatabaseResource> {
  return presentDatabase(await requireDatabase(context, principal, input.databaseId));
}
