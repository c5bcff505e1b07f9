/** Real database servers for tests: shared ones (`useEngine`), and private ones that a test may stop, kill or reconfigure (`usePrivateEngine`). */
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { dirname, join } from 'node:path';
import { createConnection } from 'mysql2/promise';
import pg from 'pg';
import { afterAll, beforeAll, describe, inject } from 'vitest';
import { ownEnvironment } from '../../src/config.js';
import type { EngineKind } from '../../src/domain/engine-kinds.js';
import type { EngineServer, EngineServerOptions } from '../../src/embedded/engine-server.js';
import { startEngineServer } from '../../src/embedded/engine-server.js';
import type { EngineProduct } from '../../src/platform/installed.js';
import { engineProductTitles, engineRoot } from '../../src/platform/installed.js';

export type EngineAddress = {
  readonly product: EngineProduct;
  readonly engine: EngineKind;
  /** Version line: `15`, `17`, `18`, `9.7`, `10.11`, `11.8`. */
  readonly major: string;
  readonly host: '127.0.0.1';
  readonly port: number;
  readonly socketDir: string;
  readonly adminUser: string;
  readonly adminPassword: string;
  readonly engineDataDir: string;
  readonly logFile: string;
};

export type CreateDatabaseOptions = {
  /** Default: a name no other test has. */
  readonly name?: string;
  /** What follows CREATE DATABASE <name>: `TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C'`, `CHARACTER SET latin1`. */
  readonly options?: string;
};

export interface TestEngine extends EngineAddress {
  /** A database of this test file alone; dropped when the file ends. */
  createDatabase(options?: CreateDatabaseOptions): Promise<string>;
  dropDatabase(name: string): Promise<void>;
  /** Runs SQL as admin on a connection of its own; the rows of the (last) statement. MySQL and MariaDB: several statements are allowed. */
  query<Row = Record<string, unknown>>(sql: string, database?: string): Promise<Row[]>;
}

/** A name that no other test has; valid unquoted everywhere. */
export function uniqueName(prefix = 't'): string {
  return `${prefix}_${randomBytes(5).toString('hex')}`;
}

export function isInstalled(product: EngineProduct): boolean {
  return engineRoot(product, ownEnvironment()) !== null;
}

/**
 * `describe` for tests of one engine. Where it is not installed: a failure in CI, elsewhere a skipped group whose name says why.
 */
export function describeEngine(product: EngineProduct, name: string, body: () => void): void {
  if (isInstalled(product) || process.env.CI) describe(name, body);
  else describe.skip(`${name} [skipped: ${engineProductTitles[product]} is not installed, see npm run doctor]`, body);
}

/** The run's shared server of that product, started by the first file that needs it. Call it in a `describe` or at the top of a file. */
export function useEngine(product: EngineProduct): TestEngine {
  let address: EngineAddress | undefined;
  beforeAll(async () => {
    address = await askKeeper(product);
  });
  return testEngine(product, () => address);
}

/** A server of this file alone, with `stop`, `kill`, `restart`; thrown away when the file ends. */
export function usePrivateEngine(
  product: EngineProduct,
  options: Pick<EngineServerOptions, 'settings' | 'durability' | 'locale' | 'initdbArgs'> = {},
): TestEngine & Pick<EngineServer, 'stop' | 'kill' | 'restart'> & { readonly pid: number | undefined } {
  let server: EngineServer | undefined;
  let dir: string | undefined;
  beforeAll(async () => {
    // Below the run's folder: what a killed run leaves is swept by the next.
    dir = mkdtempSync(join(dirname(inject('engineKeeper')), 'private-'));
    chmodSync(dir, 0o711);
    server = await startEngineServer({ product, dataDir: join(dir, product), durability: 'fast', ...options });
  });
  const engine = testEngine(product, () => server);
  afterAll(async () => {
    await server?.kill();
    if (dir) rmSync(dir, { recursive: true, force: true });
  });
  const running = (): EngineServer => {
    if (!server) throw new Error(`${product} is not started yet`);
    return server;
  };
  return Object.defineProperties(engine as ReturnType<typeof usePrivateEngine>, {
    stop: { value: () => running().stop() },
    kill: { value: () => running().kill() },
    restart: { value: () => running().restart() },
    pid: { get: () => server?.pid },
  });
}

function testEngine(product: EngineProduct, get: () => EngineAddress | undefined): TestEngine {
  const address = (): EngineAddress => {
    const found = get();
    if (!found)
      throw new Error(`${product} is not started yet: use it inside a test or hook, not while tests are collected`);
    return found;
  };
  const created: string[] = [];
  const quote = (name: string) =>
    product.startsWith('pg') ? `"${name.replaceAll('"', '""')}"` : `\`${name.replaceAll('`', '``')}\``;

  const query = async <Row>(sql: string, database?: string): Promise<Row[]> => {
    const { host, port, adminUser: user, adminPassword: password, engine } = address();
    if (engine === 'postgresql') {
      const client = new pg.Client({ host, port, user, password, database: database ?? 'postgres' });
      client.on('error', () => {});
      await client.connect();
      try {
        const result: unknown = await client.query(sql);
        const last = Array.isArray(result) ? result.at(-1) : result;
        return (last as pg.QueryResult).rows as Row[];
      } finally {
        await client.end();
      }
    }
    const connection = await createConnection({
      host,
      port,
      user,
      password,
      multipleStatements: true,
      supportBigNumbers: true,
      ...(database === undefined ? {} : { database }),
    });
    connection.on('error', () => {});
    try {
      const [result] = await connection.query(sql);
      const rows = result as unknown[];
      return (Array.isArray(rows.at?.(-1)) ? rows.at(-1) : rows) as Row[];
    } finally {
      await connection.end();
    }
  };

  const engine: TestEngine = {
    get product() {
      return product;
    },
    get engine() {
      return address().engine;
    },
    get major() {
      return address().major;
    },
    get host() {
      return address().host;
    },
    get port() {
      return address().port;
    },
    get socketDir() {
      return address().socketDir;
    },
    get adminUser() {
      return address().adminUser;
    },
    get adminPassword() {
      return address().adminPassword;
    },
    get engineDataDir() {
      return address().engineDataDir;
    },
    get logFile() {
      return address().logFile;
    },
    query,
    async createDatabase(options = {}) {
      const name = options.name ?? uniqueName();
      await query(`CREATE DATABASE ${quote(name)} ${options.options ?? ''}`);
      created.push(name);
      return name;
    },
    async dropDatabase(name) {
      await query(`DROP DATABASE IF EXISTS ${quote(name)}${product.startsWith('pg') ? ' WITH (FORCE)' : ''}`);
    },
  };
  afterAll(async () => {
    // Tidiness only, the server goes with the run: one that a test stopped, or a slot that holds the database, is no failure.
    for (const name of created) await engine.dropDatabase(name).catch(() => {});
  });
  return engine;
}

function askKeeper(product: EngineProduct): Promise<EngineAddress> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: inject('engineKeeper'), path: `/${product}` }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        body += chunk;
      });
      response.on('end', () => {
        if (response.statusCode === 200) resolve(JSON.parse(body) as EngineAddress);
        else reject(new Error(`${product}: ${body}`));
      });
    });
    asked.on('error', reject);
    asked.end();
  });
}
