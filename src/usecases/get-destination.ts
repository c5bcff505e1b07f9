import type { DestinationRow } from '../catalog/destinations.js';
import { findDestination } from '../catalog/destinations.js';
import type { DestinationResource } from '../domain/schemas/destinations.js';
import type { Principal, UsecaseContext } from './context.js';
import { presentDestination } from './present/present-destination.js';
import { notFound } from './shared/refusals.js';

/** The row of a destination that the principal may see; `not_found` otherwise. */
export async function requireDestination(
  context: UsecaseContext,
  principal: Principal,
  id: string,
): Promise<DestinationRow> {
  const row = await findDestination(context.catalog.prisma, principal, id);
  if (row === null) throw notFound('destination', id);
  return row;
}

export async function getDestination(
  context: UsecaseContext,
  principal: Principal,
  input: { destinationId: string },
): Promise<DestinationResource> {
  return presentDestination(await requireDestination(context, principal, input.destinationId));
}
