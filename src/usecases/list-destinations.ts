import { findDestinations } from '../catalog/destinations.js';
import type { Page } from '../domain/schemas/common.js';
import type { DestinationResource, ListDestinationsQuery } from '../domain/schemas/destinations.js';
import type { Principal, UsecaseContext } from './context.js';
import { presentDestination } from './present/present-destination.js';

export async function listDestinations(
  context: UsecaseContext,
  principal: Principal,
  query: ListDestinationsQuery,
): Promise<Page<DestinationResource>> {
  const { rows, nextCursor } = await findDestinations(context.catalog.prisma, principal, query);
  return { items: rows.map(presentDestination), nextCursor };
}
