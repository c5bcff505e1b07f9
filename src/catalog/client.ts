import { PrismaPg } from '@prisma/adapter-pg';
import { PrismaClient } from './generated/client.js';

/** The open catalog. `close` waits for queries that run and ends every connection. */
export type Catalog = { readonly prisma: PrismaClient; close(): Promise<void> };

/** What a query may run on: the client itself or one of its transactions. */
export type CatalogQueries = Omit<
  PrismaClient,
  '$connect' | '$disconnect' | '$on' | '$transaction' | '$extends' | '$use'
>;

/**
 * Opens the catalog at a PostgreSQL URL. Connections are made when first used, so a catalog that is down shows itself as failing
 * queries, never as a hanging start.
 */
export function openCatalog(databaseUrl: string): Catalog {
  const adapter = new PrismaPg(
    {
      connectionString: databaseUrl,
      application_name: 'tidemark catalog',
      max: 10,
      // A request must learn within seconds that the catalog is away; without this it would wait for the TCP stack.
      connectionTimeoutMillis: 5_000,
      keepAlive: true,
    },
    // An idle connection that the server closes is replaced by the pool; unhandled it would end the process.
    { onPoolError: () => undefined, onConnectionError: () => undefined },
  );
  const prisma = new PrismaClient({ adapter });
  return { prisma, close: () => prisma.$disconnect() };
}
