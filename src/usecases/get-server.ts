import { findServer } from '../catalog/servers.js';
import type { ServerResource } from '../domain/schemas/databases.js';
import type { Principal, UsecaseContext } from './context.js';
import { presentServer } from './present/present-database.js';
import { notFound } from './shared/refusals.js';

export async function getServer(
  context: UsecaseContext,
  principal: Principal,
  input: { serverId: string },
): Promise<ServerResource> {
  const row = await findServer(context.catalog.prisma, principal, input.serverId);
  if (row === null) throw notFound('server', input.serverId);
  return presentServer(row);
}
