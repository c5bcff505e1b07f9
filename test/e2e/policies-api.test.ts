/** Policies over HTTP, without workers: what a request leaves behind can be looked at, because nothing goes on by itself. */
import { beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../src/domain/ids.js';
import { ARCHIVE_SILENT_MS } from '../../src/domain/statuses.js';
import { attachWorkflowId, chainScheduleId, detachWorkflowId } from '../../src/workflows/names.js';
import type { Answer } from '../support/api-stack.js';
import { databaseInput, useApi } from '../support/api-stack.js';
import { uniqueName } from '../support/engine-servers.js';
import { catalogState } from '../support/hostile-input.js';

const api = useApi();
let me = '';
let destinationId = '';

beforeAll(async () => {
  me = (await api.call('GET', '/v1/me')).body.id;
  destinationId = await makeDestination(me);
});

async function makeDestination(ownerId: string): Promise<string> {
  const id = newId('destination');
  await api.catalog.prisma.destination.create({ data: { id, name: 'store', type: 's3', bucket: 'b', ownerId } });
  return id;
}

const policyInput = (more: Record<string, unknown> = {}) => ({
  name: uniqueName('policy'),
  destinationId,
  schedule: { full: { frequency: 'weekly', time: '02:30', day: 'sunday' }, incremental: '6h' },
  pitr: true,
  ...more,
});

/** A policy as it is after its check, which needs a worker. */
async function makePolicy(more: Record<string, unknown> = {}, status = 'active'): Promise<string> {
  const made = await api.call('POST', '/v1/policies', { body: policyInput(more) });
  expect([made.status, made.body.status]).toEqual([201, 'validating']);
  await api.catalog.prisma.policy.update({
    where: { id: made.body.id },
    data: { status, credentialsVerifiedAt: new Date() },
  });
  return made.body.id;
}

async function makeDatabase(more: Record<string, unknown> = {}, token?: string): Promise<string> {
  const made = await api.call('POST', '/v1/databases', {
    body: { ...databaseInput(), ...more },
    ...(token ? { token } : {}),
  });
  return made.body.id;
}

const attach = (policyId: string, databaseId: string, more: Record<string, unknown> = {}, token?: string) =>
  api.call('POST', `/v1/policies/${policyId}/attachments`, {
    body: { databaseId, ...more },
    ...(token ? { token } : {}),
  });

/** What the attach workflow does to the catalog once it knows the server. */
async function makeChain(policyId: string, databaseId: string): Promise<{ chainId: string; serverId: string }> {
  const serverId = newId('server');
  const chainId = newId('chain');
  const { prisma } = api.catalog;
  await prisma.server.create({
    data: { id: serverId, engine: 'postgresql', identity: `pg:${serverId}`, version: '17.1', major: '17' },
  });
  await prisma.chain.create({ data: { id: chainId, policyId, serverId, slotName: 'slot', archiveWanted: true } });
  await prisma.database.update({ where: { id: databaseId }, data: { serverId } });
  await prisma.attachment.update({
    where: { activeKey: databaseId },
    data: { chainId, status: 'active', pitrStatus: 'active' },
  });
  return { chainId, serverId };
}

async function makeBackup(
  chain: { chainId: string; serverId: string },
  policyId: string,
  databaseId: string,
  more: { kind?: string; takenAt?: Date; parentId?: string; status?: string } = {},
): Promise<string> {
  const id = newId('backup');
  await api.catalog.prisma.backup.create({
    data: {
      id,
      kind: 'full',
      status: 'completed',
      trigger: 'schedule',
      databaseId,
      policyId,
      destinationId,
      ...chain,
      takenAt: new Date(),
      bytes: 1000n,
      fencingToken: 1,
      epoch: 0,
      ...more,
    },
  });
  return id;
}

const codeOf = ({ status, body }: Answer) => [status, body?.code];
const fieldsOf = ({ body }: Answer) => body.errors?.map((error: { field: string }) => error.field);
const workflowStatus = async (workflowId: string) =>
  (await api.temporal.client.workflow.getHandle(workflowId).describe()).status.name;

describe('policies', () => {
  it('are made with defaults, a key, and the check that makes them active on its way', async () => {
    const { status, body } = await api.call('POST', '/v1/policies', { body: policyInput() });
    expect(status).toBe(201);
    expect(body).toMatchObject({
      status: 'validating',
      pausedBy: null,
      ownerId: me,
      encryption: true,
      retention: { fulls: 7, incrementalDays: 30, pitrHours: 72 },
      schedule: { full: { frequency: 'weekly', time: '02:30', day: 0 }, incremental: '6h' },
      consecutiveFailures: 0,
      lastError: null,
      credentialsVerifiedAt: null,
      attachments: 0,
    });
    expect(body.nextRuns.full).toHaveLength(5);
    expect(body.nextRuns.incremental[0]).toMatch(/T(02|08|14|20):30:00.000Z$/);
    expect(await workflowStatus(`check-policy/${body.id}/validate`)).toBe('RUNNING');
    const exported = await api.call('POST', `/v1/policies/${body.id}/key/export`);
    expect(exported.body).toMatchObject({ format: 'tidemark-wrapping-key-1', policyId: body.id, planId: null });
    const rotated = await api.call('POST', `/v1/policies/${body.id}/key/rotate`);
    expect(rotated.body.retiredKeyId).toBe(exported.body.keyId);
    expect((await api.call('GET', `/v1/policies/${body.id}`)).body).toMatchObject({ id: body.id, name: body.name });
  });

  it('refuse what cannot be kept, name the field, and change nothing', async () => {
    const before = await catalogState(api.catalog);
    const full = { frequency: 'daily', time: '02:30' };
    const wrong: [Record<string, unknown>, string][] = [
      [{ schedule: { full: { ...full, time: '24:00' }, incremental: 'none' } }, '/schedule/full/time'],
      [{ schedule: { full: { ...full, time: '2:30' }, incremental: 'none' } }, '/schedule/full/time'],
      [{ schedule: { full: { ...full, day: 1 }, incremental: 'none' } }, '/schedule/full/day'],
      [{ schedule: { full: { frequency: 'weekly', time: '02:30' }, incremental: 'none' } }, '/schedule/full/day'],
      [{ schedule: { full: { frequency: 'weekly', time: '02:30', day: 7 }, incremental: '1h' } }, '/schedule/full/day'],
      [{ schedule: { full, incremental: '3h' } }, '/schedule/incremental'],
      [{ schedule: { full: { frequency: 'monthly', time: '02:30' }, incremental: '1h' } }, '/schedule/full/frequency'],
      [{ retention: { fulls: 0 } }, '/retention/fulls'],
      [{ pitr: 'yes' }, '/pitr'],
      [{ pitr: undefined }, '/pitr'],
      [{ ownerId: newId('user') }, '/ownerId'],
    ];
    for (const [more, field] of wrong) {
      const answer = await api.call('POST', '/v1/policies', { body: policyInput(more) });
      expect([JSON.stringify(more), ...codeOf(answer)]).toEqual([JSON.stringify(more), 400, 'invalid_request']);
      expect(fieldsOf(answer)).toEqual([field]);
    }
    const unknown = policyInput({ destinationId: newId('destination') });
    expect(codeOf(await api.call('POST', '/v1/policies', { body: unknown }))).toEqual([404, 'not_found']);
    expect(await catalogState(api.catalog)).toBe(before);
  });

  it('are paused and resumed by a user, and only a pause by failures ends with a reset', async () => {
    const id = await makePolicy();
    const call = async (verb: string) => (await api.call('POST', `/v1/policies/${id}/${verb}`)).body;
    expect(await call('pause')).toMatchObject({ status: 'paused', pausedBy: 'user', nextRuns: { full: [] } });
    expect(await call('reset-failures')).toMatchObject({ status: 'paused', pausedBy: 'user' });
    expect(await call('resume')).toMatchObject({ status: 'active', pausedBy: null });

    const databaseId = await makeDatabase();
    await attach(id, databaseId);
    const fail = async () => {
      await api.catalog.prisma.attachment.update({
        where: { activeKey: databaseId },
        data: { consecutiveFailures: 3, lastError: { code: 'worker_lost', message: 'It died.' } },
      });
      await api.catalog.prisma.policy.update({ where: { id }, data: { status: 'paused', pausedBy: 'failures' } });
    };
    await fail();
    expect((await api.call('GET', `/v1/policies/${id}`)).body).toMatchObject({
      consecutiveFailures: 3,
      lastError: { code: 'worker_lost' },
    });
    expect(await call('reset-failures')).toMatchObject({
      status: 'active',
      pausedBy: null,
      consecutiveFailures: 0,
      lastError: null,
    });
    await fail();
    expect(await call('pause')).toMatchObject({ status: 'paused', pausedBy: 'user' });
  });

  it('keep their destination once a database is attached, and go only without one', async () => {
    const id = await makePolicy();
    const other = await makeDestination(me);
    const databaseId = await makeDatabase();
    await attach(id, databaseId);
    const moved = await api.call('PATCH', `/v1/policies/${id}`, { body: { destinationId: other } });
    expect(codeOf(moved)).toEqual([409, 'still_referenced']);
    expect(moved.body.references).toContain(databaseId);
    const deleted = await api.call('DELETE', `/v1/policies/${id}`);
    expect([...codeOf(deleted), deleted.body.references]).toEqual([409, 'still_referenced', [databaseId]]);
    expect(codeOf(await api.call('DELETE', `/v1/destinations/${destinationId}`))).toEqual([409, 'still_referenced']);
    expect(codeOf(await api.call('DELETE', `/v1/databases/${databaseId}`))).toEqual([409, 'still_referenced']);

    const free = await makePolicy();
    expect((await api.call('PATCH', `/v1/policies/${free}`, { body: { destinationId: other } })).body).toMatchObject({
      destinationId: other,
      status: 'validating',
      credentialsVerifiedAt: null,
    });
    expect((await api.call('DELETE', `/v1/policies/${free}`)).status).toBe(204);
    expect((await api.call('GET', `/v1/policies/${free}`)).status).toBe(404);
  });

  it('change the schedules of their chains as they are edited and paused', async () => {
    const id = await makePolicy();
    const databaseId = await makeDatabase();
    await attach(id, databaseId);
    const { chainId } = await makeChain(id, databaseId);
    const schedule = { full: { frequency: 'daily', time: '04:10' }, incremental: 'none' };
    const edited = await api.call('PATCH', `/v1/policies/${id}`, { body: { schedule, retention: { fulls: 3 } } });
    expect(edited.body).toMatchObject({ schedule, retention: { fulls: 3, incrementalDays: 30 } });
    const look = (kind: 'full' | 'incremental') =>
      api.temporal.client.schedule.getHandle(chainScheduleId(chainId, kind)).describe();
    const full = await look('full');
    expect(full.spec.calendars?.[0]).toMatchObject({
      hour: [{ start: 4, end: 4, step: 1 }],
      minute: [{ start: 10, end: 10, step: 1 }],
    });
    expect(full.state.paused).toBe(false);
    await expect(look('incremental')).rejects.toThrow(/not found/i);
    await api.call('PATCH', `/v1/policies/${id}`, { body: { schedule: { ...schedule, incremental: '12h' } } });
    await api.call('POST', `/v1/policies/${id}/pause`);
    expect((await look('incremental')).state.paused).toBe(true);
    await api.call('DELETE', `/v1/policies/${id}/attachments/${databaseId}`);
    await api.catalog.prisma.attachment.update({
      where: { activeKey: databaseId },
      data: { activeKey: null, status: 'detached' },
    });
    await api.call('POST', `/v1/policies/${id}/resume`);
    await expect(look('full')).rejects.toThrow(/not found/i);
  });
});

describe('attachments', () => {
  it('claim their database, wait for their workflow and show on the database', async () => {
    const id = await makePolicy();
    const databaseId = await makeDatabase();
    const made = await attach(id, databaseId, { accept: ['non_transactional_tables'] });
    expect(made.status).toBe(202);
    expect(made.body).toMatchObject({
      policyId: id,
      databaseId,
      status: 'configuring',
      pitrStatus: 'configuring',
      accepted: ['non_transactional_tables'],
      consecutiveFailures: 0,
      lastError: null,
      lastFullAt: null,
      lastIncrementalAt: null,
    });
    expect(await workflowStatus(attachWorkflowId(made.body.id))).toBe('RUNNING');
    expect((await api.call('GET', `/v1/databases/${databaseId}`)).body).toMatchObject({
      attachment: { policyId: id, status: 'configuring' },
      pitrStatus: 'configuring',
    });
    const list = await api.call('GET', `/v1/policies/${id}/attachments`);
    expect(list.body.items.map((one: { id: string }) => one.id)).toEqual([made.body.id]);
    const leaving = await api.call('DELETE', `/v1/policies/${id}/attachments/${databaseId}`);
    expect([leaving.status, leaving.body.status]).toEqual([202, 'detaching']);
    expect(await workflowStatus(detachWorkflowId(made.body.id))).toBe('RUNNING');
  });

  it('refuse a second policy, a replica, a policy that is not active, and change nothing', async () => {
    const [first, second] = [await makePolicy(), await makePolicy()];
    const paused = await makePolicy({}, 'paused');
    const primaryId = await makeDatabase();
    const replica = await makeDatabase({ primaryId });
    await attach(first, primaryId);
    const before = await catalogState(api.catalog);
    const again = await attach(second, primaryId);
    expect([...codeOf(again), again.body.references]).toEqual([409, 'already_attached', [first]]);
    expect(again.body.detail).toContain('Database is already attached to another backup policy');
    expect(codeOf(await attach(first, primaryId))).toEqual([409, 'already_attached']);
    expect(codeOf(await attach(second, replica))).toEqual([422, 'not_supported']);
    expect(codeOf(await attach(paused, replica))).toEqual([409, 'policy_not_active']);
    expect(codeOf(await attach(second, newId('database')))).toEqual([404, 'not_found']);
    expect(await catalogState(api.catalog)).toBe(before);
  });

  it('are tried again when they failed, with what is accepted by then', async () => {
    const id = await makePolicy();
    const databaseId = await makeDatabase();
    const { body } = await attach(id, databaseId);
    const lastError = { code: 'acceptance_required', message: 'Tables without transactions would be left out.' };
    const data = { status: 'error', lastError };
    await api.catalog.prisma.attachment.update({ where: { id: body.id }, data });
    const again = await attach(id, databaseId, { accept: ['non_transactional_tables'] });
    expect([again.status, again.body.id]).toEqual([202, body.id]);
    expect(again.body).toMatchObject({
      status: 'configuring',
      accepted: ['non_transactional_tables'],
      lastError: null,
    });
    const retry = await api.call('POST', `/v1/policies/${id}/attachments/${databaseId}/retry-pitr`);
    expect(codeOf(retry)).toEqual([409, 'conflict']);
  });

  it('release the servers when PITR is switched off and configure it when it is switched on', async () => {
    const id = await makePolicy();
    const databaseId = await makeDatabase();
    await attach(id, databaseId);
    const { chainId } = await makeChain(id, databaseId);
    const look = async () => ({
      wanted: (await api.catalog.prisma.chain.findUniqueOrThrow({ where: { id: chainId } })).archiveWanted,
      pitr: (await api.call('GET', `/v1/databases/${databaseId}`)).body.pitrStatus,
    });
    await api.call('PATCH', `/v1/policies/${id}`, { body: { pitr: false } });
    expect(await look()).toEqual({ wanted: false, pitr: 'disabled' });
    await api.call('PATCH', `/v1/policies/${id}`, { body: { pitr: true } });
    expect((await look()).pitr).toBe('configuring');
  });
});

describe('backups of a server', () => {
  it('need an attachment, take turns, and show in the list of every attached database', async () => {
    const id = await makePolicy();
    const [databaseId, neighbour] = [await makeDatabase(), await makeDatabase()];
    const take = (more: Record<string, unknown> = {}) =>
      api.call('POST', '/v1/backups', { body: { databaseId, ...more } });
    expect(codeOf(await take())).toEqual([422, 'destination_required']);
    await attach(id, databaseId);
    expect(codeOf(await take())).toEqual([409, 'conflict']);
    const chain = await makeChain(id, databaseId);
    await attach(id, neighbour);
    await api.catalog.prisma.attachment.update({
      where: { activeKey: neighbour },
      data: { chainId: chain.chainId, status: 'active' },
    });
    const made = await take({ kind: 'incremental', label: 'before the move' });
    expect(made.status).toBe(202);
    expect(made.body).toMatchObject({
      kind: 'incremental',
      status: 'pending',
      policyId: id,
      planId: null,
      databaseId,
      serverId: chain.serverId,
      label: 'before the move',
    });
    expect(await workflowStatus(`chain/${id}/${chain.serverId}`)).toBe('RUNNING');
    const busy = await take();
    expect([...codeOf(busy), busy.body.references]).toEqual([409, 'run_in_progress', [made.body.id]]);
    for (const query of [`databaseId=${neighbour}`, `policyId=${id}&kind=incremental`]) {
      const list = await api.call('GET', `/v1/backups?${query}`);
      expect(list.body.items.map((one: { id: string }) => one.id)).toEqual([made.body.id]);
    }
    expect((await api.call('GET', `/v1/backups?policyId=${id}&kind=full`)).body.items).toEqual([]);
  });

  it('say what goes with a full, and take it along', async () => {
    const id = await makePolicy();
    const databaseId = await makeDatabase();
    await attach(id, databaseId);
    const chain = await makeChain(id, databaseId);
    const full = await makeBackup(chain, id, databaseId);
    const first = await makeBackup(chain, id, databaseId, { kind: 'incremental', parentId: full });
    const second = await makeBackup(chain, id, databaseId, { kind: 'incremental', parentId: first });
    const other = await makeBackup(chain, id, databaseId);
    const { status, body } = await api.call('DELETE', `/v1/backups/${full}`);
    expect([status, body.removes]).toEqual([202, [second, first]]);
    const rows = await api.catalog.prisma.backup.findMany({ where: { chainId: chain.chainId } });
    const leaving = rows.filter((row) => row.deleteRequestedAt !== null).map((row) => row.id);
    expect(leaving.sort()).toEqual([full, first, second].sort());
    expect((await api.call('GET', `/v1/backups/${other}`)).body.deleteRequestedAt).toBeNull();
  });
});

describe('points in time', () => {
  it('are refused at once outside the window, and restored from the newest backup before them', async () => {
    const id = await makePolicy();
    const databaseId = await makeDatabase();
    const body = (source: Record<string, unknown>) => ({
      source: { kind: 'pitr', databaseId, ...source },
      target: { kind: 'server', databaseId, database: uniqueName('copy') },
    });
    const restore = (source: Record<string, unknown>) => api.call('POST', '/v1/restores', { body: body(source) });
    const window = async () => (await api.call('GET', `/v1/databases/${databaseId}/recovery-window`)).body;
    expect(await window()).toEqual({ from: null, to: null, runs: [], archive: null });
    expect(codeOf(await restore({}))).toEqual([422, 'outside_window']);
    await attach(id, databaseId);
    const chain = await makeChain(id, databaseId);
    const at = (hour: number) => new Date(Date.UTC(2026, 10, 20, hour));
    const older = await makeBackup(chain, id, databaseId, { takenAt: at(2) });
    const newer = await makeBackup(chain, id, databaseId, { takenAt: at(8) });
    expect(await window()).toMatchObject({ from: at(2).toISOString(), to: at(8).toISOString() });

    const outside = await restore({ time: at(9).toISOString() });
    expect([...codeOf(outside), fieldsOf(outside)]).toEqual([422, 'outside_window', ['/source/time']]);
    expect(outside.body.detail).toContain(at(8).toISOString());
    for (const wrong of [{ time: at(2).toISOString(), position: '0/1' }, { before: true }, { time: 'yesterday' }]) {
      expect(codeOf(await restore(wrong))).toEqual([400, 'invalid_request']);
    }
    const latest = await restore({});
    expect([latest.status, latest.body.backupId, latest.body.databaseId, latest.body.policyId]).toEqual([
      202,
      newer,
      databaseId,
      id,
    ]);
    expect((await restore({ time: at(2).toISOString() })).body.backupId).toBe(older);
    expect((await api.call('GET', `/v1/restores?policyId=${id}`)).body.items).toHaveLength(2);
    expect(codeOf(await api.call('DELETE', `/v1/backups/${older}`))).toEqual([409, 'still_referenced']);
  });
});

describe('the daily schedule of a database', () => {
  const path = (databaseId: string) => `/v1/databases/${databaseId}/scheduled-backups/default`;
  const daily = { hour: 3, minute: 5, active: true, retentionDays: 14 };

  it('is made, changed, switched off and deleted, and is a plan', async () => {
    const databaseId = await makeDatabase();
    expect((await api.call('GET', path(databaseId))).status).toBe(404);
    const made = await api.call('PUT', path(databaseId), { body: { ...daily, destinationId } });
    expect(made.status).toBe(200);
    expect(made.body).toMatchObject({ ...daily, databaseId, destinationId });
    expect(made.body.nextRunAt).toMatch(/T03:05:00.000Z$/);
    const { planId } = made.body;
    expect((await api.call('GET', `/v1/plans/${planId}`)).body).toMatchObject({
      origin: 'daily',
      encryption: true,
      retention: { days: 14 },
    });
    const renamed = await api.call('PATCH', `/v1/plans/${planId}`, { body: { name: 'mine' } });
    expect(codeOf(renamed)).toEqual([409, 'conflict']);
    const off = await api.call('PUT', path(databaseId), { body: { ...daily, hour: 4, active: false } });
    expect(off.body).toMatchObject({ planId, hour: 4, active: false, nextRunAt: null, destinationId });
    expect((await api.call('DELETE', path(databaseId))).status).toBe(204);
    expect((await api.call('GET', path(databaseId))).status).toBe(404);
  });

  it('and a policy exclude each other, and retention has bounds', async () => {
    const id = await makePolicy();
    const databaseId = await makeDatabase();
    await api.call('PUT', path(databaseId), { body: { ...daily, destinationId } });
    const refused = await attach(id, databaseId);
    expect(codeOf(refused)).toEqual([409, 'conflict']);
    await api.call('PUT', path(databaseId), { body: { ...daily, active: false } });
    expect((await attach(id, databaseId)).status).toBe(202);
    expect(codeOf(await api.call('PUT', path(databaseId), { body: daily }))).toEqual([409, 'already_attached']);
    for (const wrong of [{ retentionDays: 366 }, { retentionDays: 0 }, { hour: 24 }, { minute: 60 }]) {
      const answer = await api.call('PUT', path(databaseId), { body: { ...daily, ...wrong } });
      expect(codeOf(answer)).toEqual([400, 'invalid_request']);
    }
  });

  it('asks for a destination where several could be meant', async () => {
    const user = await api.createUser();
    const databaseId = await makeDatabase({}, user.token);
    const put = () => api.call('PUT', path(databaseId), { body: daily, token: user.token });
    expect(codeOf(await put())).toEqual([422, 'destination_required']);
    const only = await makeDestination(user.id);
    expect((await put()).body).toMatchObject({ destinationId: only });
  });
});

describe('what belongs to another user', () => {
  it('is not there: policies, attachments, windows, notifications', async () => {
    const user = await api.createUser();
    const as = (method: string, path: string, body?: unknown) =>
      api.call(method, path, { token: user.token, ...(body === undefined ? {} : { body }) });
    const id = await makePolicy();
    const databaseId = await makeDatabase();
    await attach(id, databaseId);
    await api.catalog.prisma.notification.create({
      data: {
        id: newId('notification'),
        event: 'pitr_gap',
        dedupeKey: uniqueName(),
        recipient: 'admin@example.org',
        subject: 'A gap',
        body: { what: 'A gap.', why: 'The slot was dropped.', nextStep: 'Nothing.' },
        messageId: `<${uniqueName()}@example.org>`,
        ownerId: me,
        policyId: id,
      },
    });
    const before = await catalogState(api.catalog);
    const theirs: [string, string, unknown?][] = [
      ['GET', `/v1/policies/${id}`],
      ['PATCH', `/v1/policies/${id}`, { pitr: false }],
      ['DELETE', `/v1/policies/${id}`],
      ...['check', 'pause', 'resume', 'reset-failures'].map((verb): [string, string] => [
        'POST',
        `/v1/policies/${id}/${verb}`,
      ]),
      ['GET', `/v1/policies/${id}/attachments`],
      ['GET', `/v1/policies/${id}/attachments/${databaseId}`],
      ['DELETE', `/v1/policies/${id}/attachments/${databaseId}`],
      ['POST', `/v1/policies/${id}/attachments/${databaseId}/retry-pitr`],
      ['POST', `/v1/policies/${id}/attachments`, { databaseId }],
      ['GET', `/v1/databases/${databaseId}/recovery-window`],
      ['POST', '/v1/backups', { databaseId }],
    ];
    for (const [method, path, body] of theirs) {
      expect([method, path, ...codeOf(await as(method, path, body))]).toEqual([method, path, 404, 'not_found']);
    }
    const forMe = await as('POST', '/v1/policies', policyInput({ ownerId: me }));
    expect(codeOf(forMe)).toEqual([403, 'forbidden']);
    expect((await as('GET', '/v1/policies')).body.items).toEqual([]);
    expect((await as('GET', '/v1/notifications')).body.items).toEqual([]);
    expect(await catalogState(api.catalog)).toBe(before);
    const mine = await api.call('GET', `/v1/notifications?policyId=${id}`);
    expect(mine.body.items).toMatchObject([{ event: 'pitr_gap', what: 'A gap.', status: 'pending', sentAt: null }]);
  });

  it('keeps a whole server from being downloaded by the owner of one of its databases', async () => {
    const user = await api.createUser();
    const id = await makePolicy();
    const [mine, theirs] = [await makeDatabase(), await makeDatabase({}, user.token)];
    await attach(id, mine);
    const chain = await makeChain(id, mine);
    await api.catalog.prisma.database.update({ where: { id: theirs }, data: { serverId: chain.serverId } });
    await attach(id, theirs);
    await api.catalog.prisma.attachment.update({ where: { activeKey: theirs }, data: { chainId: chain.chainId } });
    const full = await makeBackup(chain, id, mine);
    const as = (method: string, path: string, body?: unknown) =>
      api.call(method, path, { token: user.token, ...(body === undefined ? {} : { body }) });
    expect((await as('GET', `/v1/backups/${full}`)).status).toBe(200);
    expect(codeOf(await as('GET', `/v1/backups/${full}/download?file=base.tar`))).toEqual([403, 'forbidden']);
    expect(codeOf(await as('DELETE', `/v1/backups/${full}`))).toEqual([403, 'forbidden']);
    const target = { kind: 'server', databaseId: theirs, database: uniqueName('copy') };
    const restore = (source: Record<string, unknown>) =>
      as('POST', '/v1/restores', { source: { kind: 'backup', backupId: full, ...source }, target });
    expect(fieldsOf(await restore({}))).toEqual(['/source/databaseId']);
    expect(codeOf(await restore({ databaseId: mine }))).toEqual([404, 'not_found']);
    const own = await restore({ databaseId: theirs });
    expect([own.status, own.body.databaseId]).toEqual([202, theirs]);
  });
});

describe('servers', () => {
  it('show their chains and what could not be removed from them yet', async () => {
    const id = await makePolicy();
    const databaseId = await makeDatabase();
    await attach(id, databaseId);
    const { chainId, serverId } = await makeChain(id, databaseId);
    const lastError = { code: 'database_unreachable', message: 'It is off.' };
    const cleanup = { engine: 'postgresql', host: 'h', port: 1, username: 'u', database: 'd', secretId: 'sec_x' };
    await api.catalog.prisma.sourceCleanup.create({
      data: { ...cleanup, id: newId('cleanup'), kind: 'replication_slot', name: 'slot', databaseId, lastError },
    });
    expect((await api.call('GET', `/v1/servers/${serverId}`)).body).toMatchObject({
      databases: 1,
      chains: [{ id: chainId, policyId: id, archiveStatus: 'off', coveredTo: null }],
      cleanupPending: [{ kind: 'replication_slot', name: 'slot', lastError }],
    });
    expect((await api.call('GET', '/v1/servers')).body.items.map((one: { id: string }) => one.id)).toContain(serverId);
  });

  it('are said to be followed only for as long as something was heard of whoever follows them', async () => {
    const id = await makePolicy();
    const databaseId = await makeDatabase();
    await attach(id, databaseId);
    const { chainId, serverId } = await makeChain(id, databaseId);
    const read = async (path: string) => (await api.call('GET', path)).body;
    const found = (list: { items: { id: string; databaseId?: string }[] }) =>
      list.items.find((one) => [one.id, one.databaseId].includes(databaseId));
    /** What everything that tells of an archive says of this one. */
    const shown = async (archiveStatus: string, archiveSeenAt: Date | null) => {
      await api.catalog.prisma.chain.update({ where: { id: chainId }, data: { archiveStatus, archiveSeenAt } });
      const [server] = (await read(`/v1/servers/${serverId}`)).chains;
      const all = [
        (await read(`/v1/databases/${databaseId}`)).archive,
        found(await read('/v1/databases?limit=200')),
        (await read(`/v1/databases/${databaseId}/recovery-window`)).archive,
        (await read(`/v1/policies/${id}/attachments/${databaseId}`)).archive,
        found(await read(`/v1/policies/${id}/attachments`)),
      ].map((one) => one.archive ?? one);
      for (const one of all) {
        expect(one).toMatchObject({ status: server.archiveStatus, lastSeenAt: server.archiveLastSeenAt });
      }
      expect(server.archiveLastSeenAt).toBe(archiveSeenAt?.toISOString() ?? null);
      return server.archiveStatus;
    };
    const now = new Date();
    const before = new Date(now.getTime() - ARCHIVE_SILENT_MS - 1_000);
    expect(await shown('following', now)).toBe('following');
    expect(await shown('following', before)).toBe('stalled');
    expect(await shown('starting', before)).toBe('stalled');
    expect(await shown('following', null)).toBe('stalled');
    // An error was seen, and says why; a stopped one is not looked for.
    expect(await shown('error', before)).toBe('error');
    expect(await shown('stopped', before)).toBe('stopped');
  });
});
