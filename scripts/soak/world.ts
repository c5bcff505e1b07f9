import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { EngineServer } from '../../src/embedded/engine-server.js';
import { startEngineServer } from '../../src/embedded/engine-server.js';
import type { EngineProduct } from '../../src/platform/installed.js';
import type { Ledger } from './ledger.js';
import { createLedger } from './ledger.js';
import type { Random } from './random.js';
import type { SoakService } from './service.js';
import { startSoakService } from './service.js';
import type { SmallDisk } from './small-disk.js';
import { mountSmallDisk } from './small-disk.js';
import type { Account } from './sql.js';
import { dropDatabase, withSql } from './sql.js';
import type { TcpProxy } from './tcp-proxy.js';
import { startTcpProxy } from './tcp-proxy.js';

/** A backup that the service called completed, and what the soak knows about its content. */
export type KeptBackup = {
  readonly id: string;
  readonly planId: string;
  /** It shows a moment between these transactions of the source, both included. */
  readonly from: number;
  readonly to: number;
  /** The exact one, once a restore has shown it. */
  exact: number | null;
};

/** One database under protection. */
export type Subject = {
  readonly product: EngineProduct;
  readonly name: string;
  readonly ledger: Ledger;
  readonly databaseId: string;
  readonly planId: string;
  backups: KeptBackup[];
  /** The last restore over the original, if its former content is kept: where that stood. */
  revertible: { readonly restoreId: string; readonly stoodAt: readonly number[] } | null;
  /** Former and set-aside content that stays on the server on purpose. */
  aside: string[];
  rounds: number;
};

/** A source server with the account that Tidemark and the application use, and the cable between them and Tidemark. */
export type Source = {
  readonly product: EngineProduct;
  readonly server: EngineServer;
  readonly account: Account;
  /** Superuser; for tidying up after a round. */
  readonly admin: Account;
  readonly proxy: TcpProxy;
};

export type World = {
  readonly service: SoakService;
  readonly sources: ReadonlyMap<EngineProduct, Source>;
  readonly storeProxy: TcpProxy;
  readonly disk: SmallDisk;
  readonly destinationId: string;
  readonly smallDestinationId: string | null;
  readonly subjects: Map<EngineProduct, Subject>;
  /** Backups that a catalog put back to an earlier day knows nothing of; their objects stay. */
  readonly forgotten: Set<string>;
  readonly secrets: readonly string[];
  close(): Promise<void>;
};

/** Folder of the store's objects in the bucket. */
export const PREFIX = 'soak';

export async function startWorld(options: {
  home: string;
  products: readonly EngineProduct[];
  signal: AbortSignal;
  say: (line: string) => void;
}): Promise<World> {
  const { home, products, signal, say } = options;
  const sources = new Map<EngineProduct, Source>();
  const closing: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (const end of closing.splice(0).toReversed()) await end().catch((error: unknown) => say(String(error)));
  };
  try {
    const disk = mountSmallDisk(join(home, 'small-disk'));
    closing.push(async () => disk.unmount());
    const serviceHome = join(home, 'service');
    mkdirSync(serviceHome, { mode: 0o711 });
    const service = await startSoakService({
      home: serviceHome,
      env: { LOG_LEVEL: 'debug', TIDEMARK_DIRECTORY_ROOTS: disk.path },
      signal,
    });
    closing.push(() => service.stop());
    for (const product of products) {
      signal.throwIfAborted();
      const source = await startSource(product, join(home, 'sources', product));
      sources.set(product, source);
      closing.push(
        () => source.server.kill(),
        () => source.proxy.close(),
      );
      say(`  ${product} runs`);
    }
    // Not 127.0.0.1: a starting service leads destinations of its own store there back to the store itself, past the proxy.
    const storeProxy = await startTcpProxy(() => Number(new URL(service.process.run().s3.endpoint).port), '127.0.0.2');
    closing.push(() => storeProxy.close());
    const { s3 } = service.process.run();
    const destination = await service.call<{ id: string }>('POST', '/v1/destinations', {
      name: 'soak store',
      type: 's3',
      ...s3,
      endpoint: `http://${storeProxy.host}:${storeProxy.port}`,
      prefix: PREFIX,
    });
    const small = disk.skipped
      ? null
      : await service.call<{ id: string }>('POST', '/v1/destinations', {
          name: 'small disk',
          type: 'directory',
          path: disk.path,
        });
    return {
      service,
      sources,
      storeProxy,
      disk,
      destinationId: destination.id,
      smallDestinationId: small?.id ?? null,
      subjects: new Map(),
      forgotten: new Set(),
      secrets: [s3.secretAccessKey, service.token, ...[...sources.values()].map(({ account }) => account.password)],
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A server with the account that Tidemark gets; what it has committed survives its own death, not that of the machine. */
export async function startSource(
  product: EngineProduct,
  dataDir: string,
  settings: Readonly<Record<string, string>> = {},
): Promise<Source> {
  const server = await startEngineServer({ product, dataDir, durability: 'fast', settings });
  try {
    const proxy = await startTcpProxy(() => server.port);
    // Quotes, spaces and what shells and URLs treat specially: a leak shows itself also by a broken command.
    const password = `soak "p@ss" %2F;$(id)/${randomBytes(12).toString('base64url')}`;
    const { engine, port } = server;
    const admin: Account = { engine, port, username: server.adminUser, password: server.adminPassword };
    await withSql(admin, undefined, async (sql) => {
      if (engine === 'postgresql') {
        await sql.query(`create role tidemark login createdb replication password '${password}'`);
        return;
      }
      await sql.query(`create user tidemark@'127.0.0.1' identified by '${password}'`);
      await sql.query(`grant all privileges on *.* to tidemark@'127.0.0.1'`);
    });
    return { product, server, proxy, admin, account: { engine, port, username: 'tidemark', password } };
  } catch (error) {
    await server.kill();
    throw error;
  }
}

/** Names as people choose them. */
const NAMES = ['ledger', 'Ledger 2', 'büro kasse', 'select', "o'brien", 'data-base', 'with"quote', '账本'];

/** A new database with random content on the server, registered, with a plan that keeps five backups. */
export async function createSubject(world: World, product: EngineProduct, random: Random): Promise<Subject> {
  const source = sourceOf(world, product);
  const name = `${random.pick(NAMES)} ${random.int(1000, 9999)}`;
  const ledger: Ledger = {
    engine: source.account.engine,
    seed: `${product}-${name}-${random.int(1, 1_000_000)}`,
    bulkRows: random.pick([200, 5_000, 20_000, 40_000]),
    bulkUnits: random.pick([1, 20, 60]),
  };
  await createLedger(source.account, name, ledger);
  const { engine, username, password } = source.account;
  const database = await world.service.call<{ id: string }>('POST', '/v1/databases', {
    name: `${product} ${name}`,
    engine,
    host: '127.0.0.1',
    port: source.proxy.port,
    username,
    password,
    database: name,
  });
  const plan = await world.service.call<{ id: string }>('POST', '/v1/plans', {
    name: `plan of ${product} ${name}`,
    databaseId: database.id,
    destinationId: world.destinationId,
    schedule: { type: 'manual' },
    retention: { count: 5 },
    encryption: random.chance(0.8),
  });
  const subject: Subject = {
    product,
    name,
    ledger,
    databaseId: database.id,
    planId: plan.id,
    backups: [],
    revertible: null,
    aside: [],
    rounds: 0,
  };
  world.subjects.set(product, subject);
  return subject;
}

/** Drops the database and what was kept beside it; its backups stay in the store. */
export async function dropSubject(world: World, subject: Subject): Promise<void> {
  const { admin } = sourceOf(world, subject.product);
  for (const name of [subject.name, ...subject.aside]) await dropDatabase(admin, name);
  world.subjects.delete(subject.product);
}

export function sourceOf(world: World, product: EngineProduct): Source {
  const source = world.sources.get(product);
  if (source === undefined) throw new Error(`there is no source ${product}`);
  return source;
}
