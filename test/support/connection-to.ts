import type { EngineServer } from '../../src/embedded/engine-server.js';
import type { DatabaseConnection } from '../../src/engines/engine.js';

/** How the administrator of a server that was started here reaches one of its databases. */
export function connectionTo(
  server: Pick<EngineServer, 'engine' | 'host' | 'port' | 'adminUser' | 'adminPassword'>,
  database: string,
): DatabaseConnection {
  return {
    engine: server.engine,
    host: server.host,
    port: server.port,
    username: server.adminUser,
    password: server.adminPassword,
    database,
    tls: null,
  };
}
