import { join } from 'node:path';
import pg from 'pg';
import type { InstallEnvironment } from '../platform/installed.js';
import { engineRoot } from '../platform/installed.js';
import type { ComponentDefinition } from './component.js';
import type { EmbeddedState } from './embedded-state.js';
import type { EngineServer } from './engine-server.js';
import { startEngineServer } from './engine-server.js';
import { placeForServers } from './server-place.js';

const NAME = 'tidemark';
const PREFERRED_PORT = 7432;

export interface EmbeddedDatabase {
  readonly component: ComponentDefinition;
  /** Known once it was started; the port stays the same while we run. */
  url(): string;
}

/** The catalog's PostgreSQL: 18, else 17; once created it stays with its major. */
export function defineDatabase(home: string, state: EmbeddedState, install: InstallEnvironment): EmbeddedDatabase {
  let server: EngineServer | undefined;

  const start = async (): Promise<EngineServer> => {
    if (server) {
      await server.restart();
      return server;
    }
    const product = state.databaseProduct ?? (engineRoot('pg18', install) ? 'pg18' : 'pg17');
    const started = await startEngineServer({
      product,
      dataDir: join(placeForServers(home), 'database'),
      preferredPort: PREFERRED_PORT,
      durability: 'safe',
      // The catalog is small, and nobody replicates from it.
      settings: { wal_level: 'replica', max_wal_size: '256MB', summarize_wal: 'off' },
    });
    state.databaseProduct = product;
    server = started;
    return started;
  };

  return {
    component: {
      name: 'database',
      async start() {
        const running = await start();
        await ensureDatabase(running, state.databasePassword);
        return {
          pid: running.pid,
          exited: running.exited,
          check: () => ping(databaseUrl(running.port, state.databasePassword)),
          stop: () => running.stop(),
          kill: () => running.kill(),
        };
      },
    },
    url() {
      if (!server) throw new Error('the embedded database was not started');
      return databaseUrl(server.port, state.databasePassword);
    },
  };
}

/** Address of the embedded catalog. */
export function databaseUrl(port: number, password: string): string {
  return `postgresql://${NAME}:${password}@127.0.0.1:${port}/${NAME}`;
}

/** The service is no superuser: its role owns its one database. */
async function ensureDatabase(server: EngineServer, password: string): Promise<void> {
  const client = new pg.Client({
    host: server.host,
    port: server.port,
    user: server.adminUser,
    password: server.adminPassword,
    database: 'postgres',
    connectionTimeoutMillis: 10_000,
  });
  client.on('error', () => {});
  await client.connect();
  try {
    const role = await client.query('SELECT 1 FROM pg_roles WHERE rolname = $1', [NAME]);
    const verb = role.rowCount ? 'ALTER' : 'CREATE';
    await client.query(`${verb} ROLE ${NAME} LOGIN PASSWORD ${client.escapeLiteral(password)}`);
    const database = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [NAME]);
    if (!database.rowCount) await client.query(`CREATE DATABASE ${NAME} OWNER ${NAME}`);
  } finally {
    await client.end();
  }
}

async function ping(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 4_000, query_timeout: 4_000 });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query('SELECT 1');
  } finally {
    // The end of a connection to a server that hangs is not waited for.
    void client.end().catch(() => {});
  }
}
