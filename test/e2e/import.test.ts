/** An installation is lost with its catalog; another one takes up from the store and the master key what can be restored. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ownEnvironment } from '../../src/config.js';
import type { BackupResource } from '../../src/domain/schemas/backups.js';
import type { Page } from '../../src/domain/schemas/common.js';
import type { DatabaseResource, ServerResource } from '../../src/domain/schemas/databases.js';
import type { DestinationResource } from '../../src/domain/schemas/destinations.js';
import type { PlanResource } from '../../src/domain/schemas/plans.js';
import type { PolicyResource, RecoveryWindowResource } from '../../src/domain/schemas/policies.js';
import { manifestKey, ROOT } from '../../src/storage/layout.js';
import { openDestination } from '../../src/storage/open-destination.js';
import type { ImportReport } from '../../src/usecases/import-destination.js';
import { describeEngine, uniqueName, usePrivateEngine } from '../support/engine-servers.js';
import type { TestService } from '../support/tidemark.js';
import { useTidemark } from '../support/tidemark.js';
import { until } from '../support/until.js';

const repository = resolve(import.meta.dirname, '../..');
const signal = new AbortController().signal;

/** As `until`, at the pace of a client of the API: it limits how often one asks. */
const eventually = <T>(probe: () => Promise<T>, what: string, timeoutMs: number) =>
  until(() => sleep(400).then(probe), what, timeoutMs);

describeEngine('pg17', 'the import of a destination into an empty catalog', () => {
  const source = usePrivateEngine('pg17', { settings: { summarize_wal: 'on', max_slot_wal_keep_size: '1GB' } });
  const lost = useTidemark();
  const fresh = useTidemark();
  const scratch = mkdtempSync(join(tmpdir(), 'tm-import-'));
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));
  const prefix = uniqueName('import');
  let dumped: { id: string; name: string };
  let attached: { id: string; name: string };
  let neighbour: { id: string; name: string };
  let planId: string;
  let policyId: string;
  let dump: BackupResource;
  let moment: string;

  type Said = { code: number; out: string; err: string };
  function run(...more: string[]): Promise<Said> {
    const { bucket, endpoint } = lost.process.run().s3;
    const credentials = join(scratch, 's3.json');
    const { accessKeyId, secretAccessKey } = lost.process.run().s3;
    writeFileSync(credentials, JSON.stringify({ accessKeyId, secretAccessKey }), { mode: 0o600 });
    const args = ['import', '--from', `s3://${bucket}/${prefix}`, '--credentials', credentials, '--endpoint', endpoint];
    return new Promise((done) => {
      execFile(
        process.execPath,
        ['--import', 'tsx', join(repository, 'src/cli/main.ts'), ...args, ...more],
        { cwd: repository, env: { ...ownEnvironment(), TIDEMARK_HOME: fresh.home }, maxBuffer: 1 << 26 },
        (error, out, err) => done({ code: error ? Number(error.code ?? 1) : 0, out, err }),
      );
    });
  }
  /** With the key of the lost installation, which is another than this one's. */
  async function importAll(...more: string[]): Promise<ImportReport> {
    const said = await run('--master-key', join(lost.home, 'master.key'), '--json', ...more);
    expect(said.code, said.err).toBe(0);
    return JSON.parse(said.out) as ImportReport;
  }

  function store() {
    const { s3 } = lost.process.run();
    return openDestination({ type: 's3', ...s3, prefix }, { directoryRoots: [] });
  }
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

  async function attach(databaseId: string): Promise<void> {
    await lost.api.post(`/v1/policies/${policyId}/attachments`, { databaseId });
    await eventually(
      async () => {
        const { attachment } = await lost.api.get<DatabaseResource>(`/v1/databases/${databaseId}`);
        return attachment?.status === 'active' ? attachment : null;
      },
      'the database to be attached',
      300_000,
    );
  }

  async function detach(databaseId: string): Promise<void> {
    await lost.api.delete(`/v1/policies/${policyId}/attachments/${databaseId}`);
    await eventually(
      async () => {
        const row = await lost.api.get<DatabaseResource>(`/v1/databases/${databaseId}`);
        return row.attachment === null ? row : null;
      },
      'the database to be detached',
      120_000,
    );
  }

  const windowOf = (service: TestService, databaseId: string) =>
    service.api.get<RecoveryWindowResource>(`/v1/databases/${databaseId}/recovery-window`);

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

    const policy = await lost.api.post<PolicyResource>('/v1/policies', {
      name: 'Everything',
      destinationId,
      schedule: { full: { frequency: 'daily', time: '02:30' }, incremental: '6h' },
      pitr: true,
    });
    policyId = policy.id;
    await eventually(
      async () => ((await lost.api.get<PolicyResource>(`/v1/policies/${policyId}`)).status === 'active' ? true : null),
      'the policy to be checked',
      60_000,
    );
    await attach(attached.id);
    await attach(neighbour.id);
    await source.query('insert into entry select generate_series(101, 200)', attached.name);
    const asked = await lost.api.post<BackupResource>('/v1/backups', { databaseId: attached.id, kind: 'incremental' });
    const incremental = await lost.api.untilSettled<BackupResource>(`/v1/backups/${asked.id}`);
    expect(incremental).toMatchObject({ status: 'completed', kind: 'incremental', error: null });
    await source.query('insert into entry select generate_series(201, 300)', attached.name);
    const [now] = await source.query<{ at: string }>(
      `select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at`,
      attached.name,
    );
    moment = now?.at ?? '';
    await sleep(1_500);
    await source.query('delete from entry', attached.name);
    await eventually(
      async () => {
        // The store knows nothing of the idle time after the last piece of log that lies in it.
        await source.query('insert into entry select max(n) + 1 from entry', neighbour.name);
        const { to } = await windowOf(lost, attached.id);
        return to !== null && Date.parse(to) > Date.parse(moment) + 10_000 ? to : null;
      },
      'the log to be stored',
      90_000,
    );
    // The store stands still from here on, so that what the import does to it can be seen.
    await detach(neighbour.id);
    await detach(attached.id);
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
