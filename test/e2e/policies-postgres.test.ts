/** A PostgreSQL server under a policy, through the API alone: from the policy to a moment restored, and out of it again. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, test } from 'vitest';
import type { BackupResource } from '../../src/domain/schemas/backups.js';
import type { CheckResult } from '../../src/domain/schemas/checks.js';
import type { Page } from '../../src/domain/schemas/common.js';
import type { DatabaseResource, ServerResource } from '../../src/domain/schemas/databases.js';
import type { AttachmentResource, PolicyResource, RecoveryWindowResource } from '../../src/domain/schemas/policies.js';
import { giveTo, serverUser } from '../../src/platform/run-as.js';
import { describeEngine, uniqueName, usePrivateEngine } from '../support/engine-servers.js';
import { useTidemark } from '../support/tidemark.js';
import { until } from '../support/until.js';

/** As `until`, at the pace of a client of the API: it limits how often one asks. */
const eventually = <T>(probe: () => Promise<T>, what: string, timeoutMs: number) =>
  until(() => sleep(400).then(probe), what, timeoutMs);

const slots = `select slot_name from pg_replication_slots where slot_name like 'tidemark%' order by 1`;

describeEngine('pg17', 'a PostgreSQL server under a policy', () => {
  const source = usePrivateEngine('pg17', { settings: { summarize_wal: 'on', max_slot_wal_keep_size: '1GB' } });
  const service = useTidemark();
  const places: string[] = [];
  afterAll(() => {
    for (const place of places) rmSync(place, { recursive: true, force: true });
  });

  async function createTablespace(name: string): Promise<void> {
    const place = mkdtempSync(join(tmpdir(), 'tm-space-'));
    places.push(place);
    giveTo(serverUser(), place);
    await source.query(`create tablespace ${name} location '${place}'`);
  }

  async function register(): Promise<{ id: string; name: string }> {
    const name = await source.createDatabase();
    await source.query('create table entry (n int primary key, at timestamptz default clock_timestamp())', name);
    await source.query('insert into entry select generate_series(1, 100)', name);
    return { id: await service.registerDatabase(source, name), name };
  }

  /** Waits until the attach workflow has come to its end. */
  const settledAttachment = (policyId: string, databaseId: string) =>
    eventually(
      async () => {
        const row = await service.api.get<AttachmentResource>(`/v1/policies/${policyId}/attachments/${databaseId}`);
        return row.status === 'configuring' ? null : row;
      },
      'the database to be attached',
      300_000,
    );

  async function attach(policyId: string, databaseId: string): Promise<AttachmentResource> {
    await service.api.post(`/v1/policies/${policyId}/attachments`, { databaseId });
    return await settledAttachment(policyId, databaseId);
  }

  test('is checked, attached, backed up, restored to a moment, and released when the last database leaves', async () => {
    const { api } = service;
    const destinationId = await service.createDestination(uniqueName('policy'));
    const { id } = await api.post<PolicyResource>('/v1/policies', {
      name: 'Everything',
      destinationId,
      schedule: { full: { frequency: 'daily', time: '02:30' }, incremental: '6h' },
      pitr: true,
    });
    const policy = await eventually(
      async () => {
        const row = await api.get<PolicyResource>(`/v1/policies/${id}`);
        return row.status === 'validating' ? null : row;
      },
      'the policy to be checked',
      60_000,
    );
    expect(policy).toMatchObject({ status: 'active', lastError: null });
    expect(await api.post(`/v1/policies/${id}/check`)).toMatchObject({ ok: true });

    // A policy whose store refuses the credentials takes nobody, until they open it again.
    const { accessKeyId, secretAccessKey } = service.process.run().s3;
    const database = await register();
    const recheck = async (secret: string) => {
      await api.patch(`/v1/destinations/${destinationId}`, { accessKeyId, secretAccessKey: secret });
      const { ok, findings } = await api.post<CheckResult>(`/v1/policies/${id}/check`);
      const { status, lastError } = await api.get<PolicyResource>(`/v1/policies/${id}`);
      return { ok, found: findings.map(({ code }) => code), status, error: lastError?.code ?? null };
    };
    const denied = { ok: false, found: ['destination_denied'], status: 'error', error: 'destination_denied' };
    expect(await recheck('not the secret')).toEqual(denied);
    const early = await api.send('POST', `/v1/policies/${id}/attachments`, { databaseId: database.id });
    expect([early.status, await early.json()]).toMatchObject([409, { code: 'policy_not_active' }]);
    const opened = { ok: true, found: ['credentials_verified'], status: 'active', error: null };
    expect(await recheck(secretAccessKey)).toEqual(opened);

    // Nothing of the server can hold its log: PITR is in error, and active once that is mended and it is tried again.
    const free = `select pg_create_physical_replication_slot('taken_' || n) from pg_settings, generate_series(1, setting::int) n
      where name = 'max_replication_slots'`;
    await source.query(free);
    expect(await attach(id, database.id)).toMatchObject({
      ...{ status: 'error', lastError: { code: 'physical_forbidden' } },
      ...{ pitrStatus: 'error', pitrError: { message: expect.stringContaining('replication slots') } },
    });
    await source.query(`select pg_drop_replication_slot(slot_name) from pg_replication_slots`);
    await createTablespace('apart');
    await source.query('alter table entry set tablespace apart', database.name);
    await api.post(`/v1/policies/${id}/attachments/${database.id}/retry-pitr`);
    const attached = await settledAttachment(id, database.id);
    expect(attached).toMatchObject({ status: 'active', pitrStatus: 'active', lastError: null, pitrError: null });
    expect(attached.lastFullAt).not.toBeNull();
    expect(attached.sandboxProvenAt).not.toBeNull();
    const held = await source.query(slots);
    expect(held).toHaveLength(1);

    // A second database of the server joins the chain: no second full, no second slot.
    const neighbour = await register();
    expect(await attach(id, neighbour.id)).toMatchObject({ status: 'active', serverId: attached.serverId });
    expect(await source.query(slots)).toEqual(held);
    const fulls = await api.get<Page<BackupResource>>(`/v1/backups?databaseId=${neighbour.id}&kind=full`);
    expect(fulls.items).toMatchObject([{ status: 'completed', policyId: id, serverId: attached.serverId }]);
    expect(await api.get<DatabaseResource>(`/v1/databases/${neighbour.id}`)).toMatchObject({
      attachment: { policyId: id, status: 'active' },
      pitrStatus: 'active',
    });

    await source.query('insert into entry select generate_series(101, 200)', database.name);
    const requested = await api.post<BackupResource>('/v1/backups', { databaseId: database.id, kind: 'incremental' });
    const incremental = await api.untilSettled<BackupResource>(`/v1/backups/${requested.id}`);
    expect(incremental).toMatchObject({ status: 'completed', kind: 'incremental', fellBack: null, error: null });
    expect(incremental.parentId).toBe(fulls.items[0]?.id);

    await source.query('insert into entry select generate_series(201, 300)', database.name);
    await createTablespace('passing');
    await source.query('create table brief tablespace passing as select generate_series(1, 50) n', database.name);
    const [moment] = await source.query<{ at: string }>(
      `select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at`,
      database.name,
    );
    const time = moment?.at ?? '';
    await sleep(1_000);
    await source.query('delete from entry', database.name);
    await source.query('drop table brief', database.name);
    await source.query('drop tablespace passing');
    await eventually(
      async () => {
        const window = await api.get<RecoveryWindowResource>(`/v1/databases/${database.id}/recovery-window`);
        return window.to !== null && window.to > time ? window : null;
      },
      'the window to reach the moment',
      60_000,
    );
    // One that came when the chain was there has no moments of before.
    const windowOf = (one: string) => api.get<RecoveryWindowResource>(`/v1/databases/${one}/recovery-window`);
    const [whole, later] = [await windowOf(database.id), await windowOf(neighbour.id)];
    expect(whole.from).toBe(fulls.items[0]?.takenAt);
    expect(Date.parse(later.from ?? '')).toBeGreaterThan(Date.parse(whole.from ?? ''));
    expect(Date.parse(later.from ?? '')).toBeLessThan(Date.parse(incremental.takenAt ?? ''));

    const copy = uniqueName('copy');
    const restored = await service.restore({
      source: { kind: 'pitr', databaseId: database.id, time },
      target: { kind: 'server', databaseId: database.id, database: copy },
    });
    expect(restored).toMatchObject({ status: 'completed', error: null, policyId: id });
    expect(await source.query('select count(*)::int as n from entry', copy)).toEqual([{ n: 300 }]);
    // Made and filled in the log; the server that it is restored to has it no more.
    expect(await source.query('select count(*)::int as n from brief', copy)).toEqual([{ n: 50 }]);
    expect(restored.notes).toMatchObject([
      { code: 'tablespaces_missing', message: expect.stringContaining('passing') },
    ]);

    // Over the original: what is there now is kept, and a full of what is put there is asked for.
    const over = await service.restore({
      source: { kind: 'pitr', databaseId: database.id, time },
      target: { kind: 'original' },
      ...{ overwrite: true, confirmOverwrite: true },
    });
    expect(over).toMatchObject({ status: 'completed', error: null, proof: 'transport' });
    expect(await source.query('select count(*)::int as n from entry', database.name)).toEqual([{ n: 300 }]);
    const kept = `select datname from pg_database where datname = '${over.previousName}'`;
    expect(await source.query(kept)).toHaveLength(1);
    const { items: asked } = await api.get<Page<BackupResource>>(`/v1/backups?policyId=${id}&kind=full`);
    expect(asked).toMatchObject([{ trigger: 'schedule', databaseId: database.id }, {}]);

    for (const leaving of [neighbour, database]) {
      await api.delete(`/v1/policies/${id}/attachments/${leaving.id}`);
      await eventually(
        async () => {
          const row = await api.get<DatabaseResource>(`/v1/databases/${leaving.id}`);
          return row.attachment === null ? row : null;
        },
        'the database to be detached',
        120_000,
      );
    }
    await eventually(async () => ((await source.query(slots)).length === 0 ? true : null), 'the slot to go', 60_000);
    const server = await api.get<ServerResource>(`/v1/servers/${attached.serverId}`);
    expect(server.cleanupPending).toEqual([]);
    // Everything stored stays, and can still be restored.
    const stored = await api.get<Page<BackupResource>>(`/v1/backups?databaseId=${database.id}&status=completed`);
    const ids = stored.items.map((one) => one.id);
    expect(ids).toEqual(expect.arrayContaining([incremental.id, fulls.items[0]?.id]));
    expect((await api.get<RecoveryWindowResource>(`/v1/databases/${database.id}/recovery-window`)).to).not.toBeNull();
  }, 900_000);
});
