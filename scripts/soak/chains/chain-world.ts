import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { loadConfig } from '../../../src/config.js';
import type { AttachmentResource, PolicyResource } from '../../../src/domain/schemas/policies.js';
import { openHomeDatabase } from '../../../src/embedded/open-home-database.js';
import type { EngineProduct } from '../../../src/platform/installed.js';
import { createLogger } from '../../../src/platform/logger.js';
import { giveTo, serverUser } from '../../../src/platform/run-as.js';
import { embeddedDestination, isServiceRunning } from '../../lib/service-process.js';
import { comesToHold, hold } from '../broken.js';
import type { StoreView } from '../invariants.js';
import type { Ledger } from '../ledger.js';
import { createLedger } from '../ledger.js';
import type { SoakService } from '../service.js';
import { startSoakService } from '../service.js';
import type { Source } from '../world.js';
import { PREFIX, startSource } from '../world.js';
import type { Application } from './application.js';
import { startApplication } from './application.js';
import type { Noise } from './noise.js';
import { startNoise } from './noise.js';
import { makeWalCopies, walCopies } from './source-log.js';

/** One server with its chain, and what writes to it. */
export type Protected = {
  readonly product: EngineProduct;
  readonly source: Source;
  /** Name of the application's database. */
  readonly name: string;
  readonly ledger: Ledger;
  readonly databaseId: string;
  readonly policyId: string;
  readonly chainId: string;
  readonly slotName: string;
  readonly application: Application;
  readonly noise: Noise;
};

export type ChainWorld = StoreView & {
  readonly service: SoakService;
  /** Rows of the service's catalog, which says more than its API: every gap, what each epoch covers. */
  catalog<Row>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  readonly servers: readonly Protected[];
  close(): Promise<void>;
};

const DATABASE = 'soak ledger';
const ATTACH_WITHIN_MS = 600_000;
const CATALOG_BACK_WITHIN_MS = 60_000;

/**
 * Little WAL is kept by the server itself, and binary logs are short: what the archive has not taken is held by its slot alone, and many files are
 * begun. Torn pages would be the fault of a server that gave up its own protection against them, not of a backup.
 */
function settingsOf(product: EngineProduct, dataDir: string): Record<string, string> {
  if (!product.startsWith('pg')) return { 'innodb-doublewrite': 'ON', 'max-binlog-size': '8M' };
  const copies = walCopies(dataDir);
  return {
    full_page_writes: 'on',
    track_commit_timestamp: 'on',
    max_slot_wal_keep_size: '4GB',
    min_wal_size: '32MB',
    max_wal_size: '64MB',
    archive_mode: 'on',
    archive_command: `cp %p ${copies}/%f.part && mv ${copies}/%f.part ${copies}/%f`,
  };
}

export async function startChainWorld(options: {
  home: string;
  products: readonly EngineProduct[];
  seed: number;
  signal: AbortSignal;
  say: (line: string) => void;
}): Promise<ChainWorld> {
  const { home, products, seed, signal, say } = options;
  const closing: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (const end of closing.splice(0).toReversed()) await end().catch((error: unknown) => say(String(error)));
  };
  try {
    const serviceHome = join(home, 'service');
    mkdirSync(serviceHome, { mode: 0o711 });
    const service = await startSoakService({ home: serviceHome, env: { LOG_LEVEL: 'debug' }, signal });
    closing.push(() => service.stop());
    const catalog = await openCatalog(serviceHome);
    closing.push(() => catalog.close());
    const { id: destinationId } = await service.call<{ id: string }>('POST', '/v1/destinations', {
      name: 'soak store',
      ...embeddedDestination(service.process.run(), PREFIX),
    });
    const { query } = catalog;
    const servers: Protected[] = [];
    for (const product of products) {
      signal.throwIfAborted();
      const begun = await beginServer(product, join(home, 'sources', product), seed, closing);
      servers.push({ ...begun, ...(await attach(service, destinationId, query, begun)) });
      say(`  ${product}: attached; a full was taken and opened in a sandbox, the log is followed`);
    }
    const disk = { skipped: 'not used', path: '' };
    return { service, forgotten: new Set(), disk, catalog: query, servers, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** It is killed too, alone and with the whole service, and may come back at another port. */
async function openCatalog(home: string): Promise<Pick<ChainWorld, 'close'> & { query: ChainWorld['catalog'] }> {
  const open = async () => {
    const found = await openHomeDatabase({ ...loadConfig(), home }, createLogger({ level: 'warn', name: 'soak' }));
    const pool = new pg.Pool({ connectionString: found.url, max: 4, connectionTimeoutMillis: 10_000 });
    pool.on('error', () => {});
    return pool;
  };
  let pool = await open();
  const query = async <Row>(text: string, values: readonly unknown[] = []): Promise<Row[]> => {
    const giveUpAt = Date.now() + CATALOG_BACK_WITHIN_MS;
    for (;;) {
      const used = pool;
      try {
        return (await used.query(text, [...values])).rows as Row[];
      } catch (error) {
        // Without its service the home would be opened, and its catalog started, by us.
        if (Date.now() > giveUpAt || !isServiceRunning(home)) throw error;
        await sleep(500);
        if (pool === used) {
          pool = await open();
          used.end().catch(() => {});
        }
      }
    }
  };
  return { query, close: () => pool.end() };
}

type Begun = Pick<Protected, 'product' | 'source' | 'name' | 'ledger' | 'application' | 'noise'>;

async function beginServer(
  product: EngineProduct,
  dataDir: string,
  seed: number,
  closing: (() => Promise<unknown>)[],
): Promise<Begun> {
  makeWalCopies(dataDir);
  giveTo(serverUser(), walCopies(dataDir));
  const source = await startSource(product, dataDir, settingsOf(product, dataDir));
  closing.push(
    () => source.server.kill(),
    () => source.proxy.close(),
  );
  const { account, admin } = source;
  const ledger: Ledger = { engine: account.engine, seed: `chain-${product}-${seed}`, bulkRows: 3_000, bulkUnits: 8 };
  await createLedger(account, DATABASE, ledger);
  const application = startApplication({ account, database: DATABASE, ledger, pauseMs: 70 });
  closing.push(() => application.writer.stop());
  const noise = await startNoise(admin, 180);
  closing.push(() => noise.stop());
  return { product, source, name: DATABASE, ledger, application, noise };
}

async function attach(
  service: SoakService,
  destinationId: string,
  catalog: ChainWorld['catalog'],
  { product, source, name }: Begun,
): Promise<Pick<Protected, 'databaseId' | 'policyId' | 'chainId' | 'slotName'>> {
  const { engine, username, password } = source.account;
  const database = await service.call<{ id: string }>('POST', '/v1/databases', {
    ...{ name: `${product} ledger`, engine, host: '127.0.0.1', port: source.server.port },
    ...{ username, password, database: name },
  });
  const policy = await service.call<PolicyResource>('POST', '/v1/policies', {
    name: `policy of ${product}`,
    destinationId,
    schedule: { full: { frequency: 'daily', time: '03:00' }, incremental: '1h' },
    pitr: true,
  });
  await service.untilSettled<PolicyResource>(
    `/v1/policies/${policy.id}`,
    ({ status }) => status === 'active',
    ATTACH_WITHIN_MS,
  );
  const path = `/v1/policies/${policy.id}/attachments`;
  await service.call('POST', path, { databaseId: database.id });
  const attachment = await service.untilSettled<AttachmentResource>(
    `${path}/${database.id}`,
    (row) => row.status !== 'configuring' && row.pitrStatus !== 'configuring',
    ATTACH_WITHIN_MS,
  );
  hold(
    attachment.status === 'active' && attachment.pitrStatus === 'active',
    `${product} is attached as ${attachment.status}, its PITR is ${attachment.pitrStatus}: ${JSON.stringify([attachment.lastError, attachment.pitrError, attachment.findings])}`,
  );
  const [chain] = await catalog<{ id: string; slotName: string }>(
    'select "id", "slotName" from "Chain" where "policyId" = $1',
    [policy.id],
  );
  if (chain === undefined) throw new Error(`${product} has no chain`);
  return { databaseId: database.id, policyId: policy.id, chainId: chain.id, slotName: chain.slotName };
}

/** Waits until everything that was committed at `moment` (ms since 1970) is stored. Throws after `withinMs`, saying what the archive says. */
export async function untilCovered(
  world: ChainWorld,
  chainId: string,
  moment: number,
  withinMs: number,
): Promise<void> {
  await comesToHold(withinMs, async () => {
    const [row] = await world.catalog<{ coveredTo: Date | null; archiveStatus: string; archiveError: unknown }>(
      `select "coveredTo" at time zone 'UTC' as "coveredTo", "archiveStatus", "archiveError" from "Chain" where "id" = $1`,
      [chainId],
    );
    const covered = row?.coveredTo?.getTime() ?? 0;
    if (covered >= moment) return null;
    return `the log of ${chainId} is stored up to ${row?.coveredTo?.toISOString() ?? 'nothing'} only, its archive is ${row?.archiveStatus} (${JSON.stringify(row?.archiveError)})`;
  });
}
