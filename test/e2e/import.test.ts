/** An installation is lost with its catalog; another one takes up from the store and the master key what can be restored. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, expect, test } from 'vitest';
import type { BackupResource } from '../../src/domain/schemas/backups.js';
import type { Page } from '../../src/domain/schemas/common.js';
import type { DatabaseResource, ServerResource } from '../../src/domain/schemas/databases.js';
import type { DestinationResource } from '../../src/domain/schemas/destinations.js';
import type { PlanResource } from '../../src/domain/schemas/plans.js';
import type { PolicyResource } from '../../src/domain/schemas/policies.js';
import { masterKeyOpener } from '../../src/keys/key-opener.js';
import { loadMasterKey } from '../../src/keys/master-key.js';
import { readStoredChain } from '../../src/recovery/read-store.js';
import { manifestKey, ROOT } from '../../src/storage/layout.js';
import { openDestination } from '../../src/storage/open-destination.js';
import type { ImportReport } from '../../src/usecases/import-destination.js';
import { describeEngine, uniqueName, usePrivateEngine } from '../support/engine-servers.js';
import { attach, backUpServer, createPolicy, detach, eventually, windowOf } from '../support/policy-client.js';
import { useStoreCommand } from '../support/run-cli.js';
import type { TestService } from '../support/tidemark.js';
import { useTidemark } from '../support/tidemark.js';

const signal = new AbortController().signal;

const lost = useTidemark();
const fresh = useTidemark();

const storeAt = (prefix: string) =>
  openDestination({ type: 's3', ...lost.process.run().s3, prefix }, { directoryRoots: [] });

/** Writes until the stored log itself covers a moment: the store knows nothing of the idle time after its last piece. */
async function untilStored(prefix: string, databaseId: string, moment: string, write: () => Promise<unknown>) {
  const { serverId } = await lost.api.get<DatabaseResource>(`/v1/databases/${databaseId}`);
  const openKey = masterKeyOpener(loadMasterKey({ home: lost.home, fromEnv: undefined }).key);
  const destination = storeAt(prefix);
  await eventually(
    async () => {
      await write();
      const wanted = { serverId: serverId ?? '', policyId: null };
      const { input } = await readStoredChain({ destination, openKey, signal }, wanted);
      return input.slices.some(({ coversTo }) => coversTo !== null && coversTo > moment);
    },
    'the log to be stored',
    120_000,
  );
  destination.close();
}

describeEngine('pg17', 'the import of a destination into an empty catalog', () => {
  const source = usePrivateEngine('pg17', { settings: { summarize_wal: 'on', max_slot_wal_keep_size: '1GB' } });
  const prefix = uniqueName('import');
  let dumped: { id: string; name: string };
  let attached: { id: string; name: string };
  let neighbour: { id: string; name: string };
  let planId: string;
  let policyId: string;
  let dump: BackupResource;
  let moment: string;

  const command = useStoreCommand(lost, prefix);
  const run = (...more: string[]) => command('import', more, fresh.home);
  /** With the key of the lost installation, which is another than this one's. */
  async function importAll(...more: string[]): Promise<ImportReport> {
    const said = await run('--master-key', join(lost.home, 'master.key'), '--json', ...more);
    expect(said.code, said.err).toBe(0);
    return JSON.parse(said.out) as ImportReport;
  }

  const store = () => storeAt(prefix);
  async function objects(): Promise<unknown[]> {
    const destination = store();
    const found: unknown[] = [];
    for await (const object of destination.list(`${ROOT}/`, { signal })) found.push(object);
    destination.close();
    return found;
  }

  async function register(rows: number): Promise<{ id: string; name: string }> {
    const name = await source.createDatabase();
    await source.query('create table entry (n int primary key, at timestamptz default clock_timestamp())', name);
    await source.query(`insert into entry select generate_series(1, ${rows})`, name);
    return { id: await lost.registerDatabase(source, name), name };
  }

  beforeAll(async () => {
    const destinationId = await lost.createDestination(prefix);
    dumped = await register(50);
    attached = await register(100);
    neighbour = await register(10);
    planId = await lost.createPlan(dumped.id, destinationId);
    const { id } = await lost.api.post<BackupResource>('/v1/backups', { planId, label: 'before the loss' });
    dump = await lost.api.untilSettled<BackupResource>(`/v1/backups/${id}`);
    expect(dump).toMatchObject({ status: 'completed', error: null });
    // Without encryption the installation's own key authenticates.
    const plain = await lost.createPlan(dumped.id, destinationId, { encryption: false });
    expect(await lost.backUp(plain)).toMatchObject({ status: 'completed', error: null });

    policyId = await createPolicy(lost, destinationId, 'Everything');
    await attach(lost, policyId, attached.id);
    await attach(lost, policyId, neighbour.id);
    await source.query('insert into entry select generate_series(101, 200)', attached.name);
    await backUpServer(lost, attached.id, 'incremental');
    await source.query('insert into entry select generate_series(201, 300)', attached.name);
    const [now] = await source.query<{ at: string }>(
      `select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at`,
      attached.name,
    );
    moment = now?.at ?? '';
    await sleep(1_500);
    await source.query('delete from entry', attached.name);
    await untilStored(prefix, attached.id, moment, () =>
      source.query('insert into entry select max(n) + 1 from entry', neighbour.name),
    );
    // The store stands still from here on, so that what the import does to it can be seen.
    await detach(lost, policyId, neighbour.id);
    await detach(lost, policyId, attached.id);
  }, 900_000);

  test('needs the master key of the installation that wrote it, and says so', async () => {
    const said = await run();
    expect(said.code).toBe(1);
    expect(said.err).toMatch(/sealed under another one.*--master-key/s);
    expect((await fresh.api.get<Page<DestinationResource>>('/v1/destinations')).items).toHaveLength(0);
  });

  test('tells beforehand what it would add, and adds nothing', async () => {
    const report = await importAll('--dry-run');
    expect(report.added).toMatchObject({ servers: 1, databases: 3, plans: 2, policies: 1, chains: 1, backups: 4 });
    expect(report.refused).toEqual([]);
    expect((await fresh.api.get<Page<DatabaseResource>>('/v1/databases')).items).toHaveLength(0);
  });

  test('brings back the same backups, databases and windows under their ids, and leaves the store as it is', async () => {
    const before = await objects();
    const report = await importAll();
    expect(await objects()).toEqual(before);
    expect(report.added.slices).toBe(report.found.slices);
    expect(report.added.slices).toBeGreaterThan(0);
    expect(report.newDatabaseIds.toSorted()).toEqual([dumped.id, attached.id, neighbour.id].toSorted());
    expect(report.writtenBy).toMatch(/^inst_/);

    const listed = async ({ api }: TestService) => {
      const { items } = await api.get<Page<BackupResource>>('/v1/backups?status=completed&limit=200');
      const facts = items.map((one) => ({
        ...{ id: one.id, kind: one.kind, label: one.label, trigger: one.trigger, encrypted: one.encrypted },
        ...{ databaseId: one.databaseId, planId: one.planId, policyId: one.policyId, serverId: one.serverId },
        ...{ parentId: one.parentId, bytes: one.bytes, storedBytes: one.storedBytes, takenAt: one.takenAt },
        ...{ serverVersion: one.serverVersion, rows: one.content?.rows, tables: one.content?.tables },
      }));
      return facts.toSorted((a, b) => a.id.localeCompare(b.id));
    };
    expect(await listed(fresh)).toEqual(await listed(lost));
    for (const { id, name } of [dumped, attached, neighbour]) {
      const known = await lost.api.get<DatabaseResource>(`/v1/databases/${id}`);
      const { serverId, host, port, engine } = known;
      expect(await fresh.api.get<DatabaseResource>(`/v1/databases/${id}`)).toMatchObject({
        ...{ name: known.name, database: name, serverId, host, port, engine, attachment: null },
        checkError: { code: 'secret_missing', message: expect.stringContaining(`PATCH /v1/databases/${id}`) },
      });
    }
    const server = (await fresh.api.get<Page<ServerResource>>('/v1/servers')).items[0];
    expect(server).toMatchObject({ databases: 3, cleanupPending: [] });
    expect(await fresh.api.get<PlanResource>(`/v1/plans/${planId}`)).toMatchObject({
      ...{ status: 'paused', schedule: { type: 'manual' }, retention: null },
      name: expect.stringMatching(/^imported plan of/),
    });
    expect(await fresh.api.get<PolicyResource>(`/v1/policies/${policyId}`)).toMatchObject({
      ...{ name: 'imported Everything', status: 'paused', pausedBy: 'user', pitr: true, attachments: 0 },
    });
    for (const { id } of [attached, neighbour]) {
      const [there, here] = [await windowOf(lost, id), await windowOf(fresh, id)];
      expect(here.from).toBe(there.from);
      expect(here.runs).toHaveLength(there.runs.length);
      expect(Date.parse(here.to ?? '')).toBeGreaterThan(Date.parse(moment));
      expect(Date.parse(here.to ?? '')).toBeLessThanOrEqual(Date.parse(there.to ?? ''));
    }
  });

  const target = (database: string) => ({
    ...{ kind: 'server', host: source.host, port: source.port, database },
    ...{ username: source.adminUser, password: source.adminPassword },
  });

  test('lets a dump be restored under another name, equal to its source', async () => {
    const copy = uniqueName('copy');
    const restored = await fresh.restore({ source: { kind: 'backup', backupId: dump.id }, target: target(copy) });
    expect(restored).toMatchObject({ status: 'completed', error: null, proof: 'source' });
    expect(await source.query('select count(*)::int as n from entry', copy)).toEqual([{ n: 50 }]);
  }, 200_000);

  test('lets a moment be restored over full, incremental and log', async () => {
    const copy = uniqueName('copy');
    const restored = await fresh.restore({
      source: { kind: 'pitr', databaseId: attached.id, time: moment },
      target: target(copy),
    });
    expect(restored).toMatchObject({ status: 'completed', error: null, policyId });
    expect(await source.query('select count(*)::int as n from entry', copy)).toEqual([{ n: 300 }]);
  }, 300_000);

  test('lets a database be used again once it has its credentials', async () => {
    const { adminUser: username, adminPassword: password } = source;
    await fresh.api.patch(`/v1/databases/${attached.id}`, { username, password });
    const checked = await eventually(
      async () => {
        const row = await fresh.api.get<DatabaseResource>(`/v1/databases/${attached.id}`);
        return row.checkedAt === null ? null : row;
      },
      'the database to be checked',
      60_000,
    );
    expect(checked).toMatchObject({ checkError: null, serverId: expect.any(String) });
    // The server that was imported is the one that answers, not a second one.
    expect((await fresh.api.get<Page<ServerResource>>('/v1/servers')).items).toHaveLength(1);
  });

  test('adds only what is new when it is done again, and leaves out by name what is not authentic', async () => {
    const again = await importAll();
    expect(Object.values(again.added)).toEqual(Object.values(again.added).map(() => 0));
    expect(again).toMatchObject({ isNewDestination: false, newDatabaseIds: [], refused: [] });

    const [later, damaged] = [await lost.backUp(planId), await lost.backUp(planId)];
    const destination = store();
    const at = manifestKey(dumped.id, damaged.id);
    const chunks: Buffer[] = [];
    for await (const chunk of await destination.read(at, { signal })) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks)
      .toString('utf8')
      .replace(/"label": null/, '"label": "forged"');
    await destination.put(at, Buffer.from(text), { signal });
    destination.close();
    const third = await importAll();
    expect(third.added).toMatchObject({ backups: 1, databases: 0, plans: 0, slices: 0 });
    expect(third.refused).toMatchObject([{ object: at, code: 'manifest_forged' }]);
    expect(await fresh.api.get<BackupResource>(`/v1/backups/${later.id}`)).toMatchObject({ status: 'completed' });
    const missing = await fresh.api.send('GET', `/v1/backups/${damaged.id}`);
    expect(missing.status).toBe(404);
  }, 200_000);
});

for (const product of ['mysql', 'mariadb'] as const) {
  describeEngine(product, `the import of a destination with the archive of a ${product} server`, () => {
    const source = usePrivateEngine(product);
    const prefix = uniqueName('import');
    const command = useStoreCommand(lost, prefix);
    let database: { id: string; name: string };
    let moment: string;
    const readRows = (name: string) => source.query('select n, cast(at as char) as at from entry order by n', name);
    const fill = (from: number, to: number, name: string) =>
      source.query(
        `insert into entry (n) with recursive seq (n) as (select ${from} union all select n + 1 from seq where n < ${to}) select n from seq`,
        name,
      );
    let rows: unknown[];

    beforeAll(async () => {
      const name = await source.createDatabase();
      await source.query('create table entry (n int primary key, at timestamp(6) default current_timestamp(6))', name);
      await fill(1, 100, name);
      database = { id: await lost.registerDatabase(source, name), name };
      const policyId = await createPolicy(lost, await lost.createDestination(prefix), product);
      await attach(lost, policyId, database.id);
      await fill(101, 200, name);
      rows = await readRows(name);
      // MariaDB's log has whole seconds.
      await sleep(1_500);
      moment = new Date().toISOString();
      await sleep(1_500);
      await source.query('delete from entry', name);
      await untilStored(prefix, database.id, moment, () =>
        source.query('insert into entry (n) select coalesce(max(n), 0) + 1 from entry', name),
      );
      await detach(lost, policyId, database.id);
    }, 600_000);

    test('brings back the server, its chain and its window, and a moment can be restored', async () => {
      const said = await command('import', ['--master-key', join(lost.home, 'master.key'), '--json'], fresh.home);
      expect(said.code, said.err).toBe(0);
      const report = JSON.parse(said.out) as ImportReport;
      expect(report.added).toMatchObject({ servers: 1, databases: 1, policies: 1, chains: 1, backups: 1 });
      expect(report).toMatchObject({ refused: [], newDatabaseIds: [database.id] });
      const [there, here] = [await windowOf(lost, database.id), await windowOf(fresh, database.id)];
      expect(here.from).toBe(there.from);
      expect(here.runs).toHaveLength(1);
      const copy = uniqueName('copy');
      const restored = await fresh.restore({
        source: { kind: 'pitr', databaseId: database.id, time: moment },
        target: {
          ...{ kind: 'server', host: source.host, port: source.port, database: copy },
          ...{ username: source.adminUser, password: source.adminPassword },
        },
      });
      expect(restored).toMatchObject({ status: 'completed', error: null });
      expect(rows).toHaveLength(200);
      expect(await readRows(copy)).toEqual(rows);
    }, 300_000);
  });
}
