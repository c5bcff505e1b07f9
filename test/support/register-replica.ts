import { createDatabase } from '../../src/usecases/create-database.js';
import type { ArchivedServer } from './archived-server.js';
import type { TestEngine } from './engine-servers.js';
import type { RunStack } from './run-stack.js';

/** Registers a copy of a source as a replica of an archived server, as its check would have found it; the id of its database. */
export async function registerReplica(
  stack: RunStack,
  server: ArchivedServer,
  source: TestEngine,
  copy: { readonly port: number },
): Promise<string> {
  const { id } = await createDatabase(stack.context, stack.admin, {
    name: 'the replica',
    engine: source.engine,
    host: source.host,
    port: copy.port,
    username: source.adminUser,
    password: source.adminPassword,
    database: server.name,
    primaryId: server.database.id,
  });
  await stack.catalog.prisma.database.update({
    where: { id },
    data: { role: 'replica', serverId: server.serverId },
  });
  return id;
}
