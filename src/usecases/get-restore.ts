import type { RestoreRow } from '../catalog/restores.js';
import { findRestore } from '../catalog/restores.js';
import type { RestoreResource } from '../domain/schemas/restores.js';
import type { Principal, UsecaseContext } from './context.js';
import { presentRestore } from './present/present-restore.js';
import { notFound } from './shared/refusals.js';

/** The row of a restore that the principal may see; `not_found` otherwise. */
export async function requireRestore(context: UsecaseContext, principal: Principal, id: string): Promise<RestoreRow> {
  const row = await findRestore(context.catalog.prisma, principal, id);
  if (row === null) throw notFound('restore', id);
  return row;
}

export async function getRestore(
  context: UsecaseContext,
  principal: Principal,
  input: { restoreId: string },
): Promise<RestoreResource> {
  return presentRestore(await requireRestore(context, principal, input.restoreId));
}
