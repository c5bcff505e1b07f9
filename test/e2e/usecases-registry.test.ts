import { describe, expect, it } from 'vitest';
import { openText, secretContext } from '../../src/keys/seal.js';
import { checkDatabase } from '../../src/usecases/check-database.js';
import { createDatabase } from '../../src/usecases/create-database.js';
import { createDestination } from '../../src/usecases/create-destination.js';
import { deleteDatabase } from '../../src/usecases/delete-database.js';
import { deleteDestination } from '../../src/usecases/delete-destination.js';
import { getDatabase } from '../../src/usecases/get-database.js';
import { getDestination } from '../../src/usecases/get-destination.js';
import { listAuditEvents } from '../../src/usecases/list-audit-events.js';
import { listDatabases } from '../../src/usecases/list-databases.js';
import { listDestinations } from '../../src/usecases/list-destinations.js';
import { requestBackup } from '../../src/usecases/request-backup.js';
import { followEmbeddedStore } from '../../src/usecases/service/follow-embedded-store.js';
import { updateDatabase } from '../../src/usecases/update-database.js';
import { updateDestination } from '../../src/usecases/update-destination.js';
import { uniqueName } from '../support/engine-servers.js';
import {
  completeBackupRow,
  errorOf,
  registerDatabase,
  registerDestination,
  registerPlan,
  useUsecases,
} from '../support/usecase-stack.js';

const stack = useUsecases({
  checkTimeoutMs: 1_500,
  assertHostAllowed: (host) => {
    if (host === 'metadata.internal') throw new Error('refused by the host list of this test');
  },
});

describe('databases', () => {
  it('keeps the password sealed: neither the answer nor any column holds it', async () => {
    const { context, admin } = stack;
    const created = await registerDatabase(context, admin);
    const row = await context.catalog.prisma.database.findUniqueOrThrow({ where: { id: created.id } });
    const secret = await context.catalog.prisma.secret.findUniqueOrThrow({ where: { id: row.secretId } });
    const everything = JSON.stringify([created, row, secret], (_, value) =>
      typeof value === 'bigint' ? value.toString() : value,
    );
    expect(everything).not.toContain('planted-secret');
    expect(everything).not.toContain(Buffer.from('planted-secret-of-database').toString('base64').slice(0, 20));
    const opened = await openText(context.masterKey, secret.sealed, secretContext(secret.id));
    expect(JSON.parse(opened)).toEqual({ password: 'planted-secret-of-database' });
  });

  it("answers not_found for another user's database, also to changes and deletions, and shows it to admins", async () => {
    const { context, admin } = stack;
    const [anna, bert] = [await stack.addUser(), await stack.addUser()];
    const { id } = await registerDatabase(context, anna);
    for (const attempt of [
      () => getDatabase(context, bert, { databaseId: id }),
      () => updateDatabase(context, bert, { databaseId: id, changes: { name: 'mine' } }),
      () => deleteDatabase(context, bert, { databaseId: id }),
      () => checkDatabase(context, bert, { databaseId: id }),
    ]) {
      expect((await errorOf(attempt())).code).toBe('not_found');
    }
    expect((await getDatabase(context, admin, { databaseId: id })).ownerId).toBe(anna.userId);
    expect((await getDatabase(context, anna, { databaseId: id })).name).not.toBe('mine');
  });

  it('forgets what the last check said when the address changes, and keeps it when only the name does', async () => {
    const { context, admin } = stack;
    const { id } = await registerDatabase(context, admin);
    const checkedAt = new Date();
    await context.catalog.prisma.database.update({ where: { id }, data: { checkedAt, findings: [] } });
    expect((await updateDatabase(context, admin, { databaseId: id, changes: { name: 'other' } })).checkedAt).toBe(
      checkedAt.toISOString(),
    );
    const moved = await updateDatabase(context, admin, { databaseId: id, changes: { port: 6000, password: 'p' } });
    expect(moved.checkedAt).toBeNull();
  });

  it('sends no stored password to another address: it must be given again', async () => {
    const { context, admin } = stack;
    const { id, host } = await registerDatabase(context, admin);
    for (const changes of [{ host: 'listens.example' }, { port: 6001 }]) {
      const refused = await errorOf(updateDatabase(context, admin, { databaseId: id, changes }));
      expect(refused).toMatchObject({ code: 'invalid_request', details: { fields: [{ field: '/password' }] } });
    }
    expect((await getDatabase(context, admin, { databaseId: id })).host).toBe(host);
    await updateDatabase(context, admin, { databaseId: id, changes: { host, tls: { mode: 'require' } } });
  });

  it('replaces the password in place, so that runs under way read the new one', async () => {
    const { context, admin } = stack;
    const { id } = await registerDatabase(context, admin);
    const before = await context.catalog.prisma.database.findUniqueOrThrow({ where: { id } });
    await updateDatabase(context, admin, { databaseId: id, changes: { password: 'the new one' } });
    const after = await context.catalog.prisma.database.findUniqueOrThrow({ where: { id } });
    expect(after.secretId).toBe(before.secretId);
    const secret = await context.catalog.prisma.secret.findUniqueOrThrow({ where: { id: after.secretId } });
    expect(await openText(context.masterKey, secret.sealed, secretContext(secret.id))).toContain('the new one');
  });

  it('refuses a replica of another engine, of itself, or of another replica', async () => {
    const { context, admin } = stack;
    const primary = await registerDatabase(context, admin);
    const replicaOf = (primaryId: string, engine: 'postgresql' | 'mysql' = 'postgresql') =>
      createDatabase(context, admin, {
        name: 'replica',
        engine,
        host: '127.0.0.1',
        port: 5999,
        username: 'u',
        password: 'p',
        database: 'd',
        primaryId,
      });
    expect((await errorOf(replicaOf(primary.id, 'mysql'))).details.fields?.[0]?.field).toBe('/primaryId');
    const replica = await replicaOf(primary.id);
    expect(replica.role).toBe('replica');
    expect((await errorOf(replicaOf(replica.id))).code).toBe('invalid_request');
    const itself = updateDatabase(context, admin, { databaseId: primary.id, changes: { primaryId: primary.id } });
    expect((await errorOf(itself)).code).toBe('invalid_request');
    expect((await errorOf(deleteDatabase(context, admin, { databaseId: primary.id }))).details.references).toEqual([
      replica.id,
    ]);
  });

  it('is not deleted while a plan needs it, names the plan, and takes its password along when it goes', async () => {
    const { context, admin } = stack;
    const { database, plan } = await registerPlan(context, admin);
    const refused = await errorOf(deleteDatabase(context, admin, { databaseId: database.id }));
    expect(refused.code).toBe('still_referenced');
    expect(refused.details.references).toEqual([plan.id]);
    await context.catalog.prisma.plan.update({ where: { id: plan.id }, data: { deletedAt: new Date() } });
    const { secretId } = await context.catalog.prisma.database.findUniqueOrThrow({ where: { id: database.id } });
    await deleteDatabase(context, admin, { databaseId: database.id });
    expect((await errorOf(getDatabase(context, admin, { databaseId: database.id }))).code).toBe('not_found');
    expect(await context.catalog.prisma.secret.findUnique({ where: { id: secretId } })).toBeNull();
  });

  it('says within its time that no worker answered a check', async () => {
    const { context, admin } = stack;
    const { id } = await registerDatabase(context, admin);
    const started = Date.now();
    const result = await checkDatabase(context, admin, { databaseId: id });
    expect(Date.now() - started).toBeLessThan(10_000);
    expect(result).toMatchObject({ ok: false, checkedAt: null, findings: [{ code: 'check_timed_out' }] });
  });

  it('asks the host list before it keeps or contacts an address', async () => {
    const { context, admin } = stack;
    const { id } = await registerDatabase(context, admin);
    const before = await context.catalog.prisma.database.count();
    // The bucket's name and the endpoint make one host, which is what is contacted.
    const store = {
      name: 'store',
      type: 's3',
      endpoint: 'http://internal',
      bucket: 'metadata',
      region: 'us-east-1',
      prefix: '',
      accessKeyId: 'key',
      secretAccessKey: 'secret',
      enabled: true,
    } as const;
    await expect(createDestination(context, admin, { ...store, forcePathStyle: false })).rejects.toThrow(
      'refused by the host list',
    );
    const kept = await createDestination(context, admin, { ...store, forcePathStyle: true });
    const changes = { forcePathStyle: false };
    await expect(updateDestination(context, admin, { destinationId: kept.id, changes })).rejects.toThrow(
      'refused by the host list',
    );
    const elsewhere = { databaseId: id, changes: { host: 'metadata.internal' } };
    await expect(updateDatabase(context, admin, elsewhere)).rejects.toThrow('refused by the host list');
    expect(await context.catalog.prisma.database.count()).toBe(before);
    expect((await getDatabase(context, admin, { databaseId: id })).host).toBe('127.0.0.1');
  });
});

describe('lists', () => {
  it('give every item exactly once, newest first, page by page, while new ones arrive', async () => {
    const { context } = stack;
    const owner = await stack.addUser();
    const ids: string[] = [];
    for (let index = 0; index < 7; index += 1) ids.push((await registerDatabase(context, owner)).id);
    // Two rows of one millisecond: the id decides.
    const at = new Date();
    await context.catalog.prisma.database.updateMany({
      where: { id: { in: ids.slice(2, 5) } },
      data: { createdAt: at },
    });
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await listDatabases(context, owner, { limit: 2, ...(cursor === undefined ? {} : { cursor }) });
      seen.push(...page.items.map((item) => item.id));
      if (seen.length === 2) await registerDatabase(context, owner);
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined);
    expect(seen).toHaveLength(7);
    expect(new Set(seen)).toEqual(new Set(ids));
  });

  it('refuse a cursor of other filters, of another user, of another list, and an invented one', async () => {
    const { context } = stack;
    const [anna, bert] = [await stack.addUser(), await stack.addUser()];
    for (let index = 0; index < 3; index += 1) await registerDatabase(context, anna);
    const { nextCursor } = await listDatabases(context, anna, { limit: 1 });
    const cursor = nextCursor ?? '';
    expect(cursor).not.toBe('');
    for (const attempt of [
      () => listDatabases(context, anna, { limit: 1, cursor, engine: 'mysql' }),
      () => listDatabases(context, bert, { limit: 1, cursor }),
      () => listDestinations(context, anna, { limit: 1, cursor }),
      () => listDatabases(context, anna, { limit: 1, cursor: 'bm90LWEtY3Vyc29y' }),
      () => listDatabases(context, anna, { limit: 1, cursor: Buffer.from('["x","y","z"]').toString('base64url') }),
    ]) {
      expect((await errorOf(attempt())).code).toBe('invalid_cursor');
    }
    expect((await listDatabases(context, anna, { limit: 2, cursor })).items).toHaveLength(2);
  });

  it('search text as it is written: wildcards of SQL are letters', async () => {
    const { context } = stack;
    const owner = await stack.addUser();
    const [percent, under, plain] = [
      await registerDatabase(context, owner, 'rate 100% sure'),
      await registerDatabase(context, owner, 'snake_case'),
      await registerDatabase(context, owner, 'back\u00e4cker'),
    ];
    const found = async (q: string) =>
      (await listDatabases(context, owner, { limit: 50, q })).items.map((item) => item.id);
    expect(await found('%')).toEqual([percent.id]);
    expect(await found('_')).toEqual([under.id]);
    expect(await found('BACK\u00c4')).toEqual([plain.id]);
    expect(await found("'; DROP TABLE")).toEqual([]);
  });
});

describe('destinations', () => {
  it('never give their keys back', async () => {
    const { context, admin } = stack;
    const created = await registerDestination(context, admin);
    const shown = JSON.stringify([created, await listDestinations(context, admin, { limit: 200 })]);
    expect(shown).not.toContain('planted-');
  });

  it('in a directory are for admins, under a configured root only', async () => {
    const { context, admin } = stack;
    const user = await stack.addUser();
    const [root] = context.options.directoryRoots;
    const make = (who: typeof admin, path: string) =>
      createDestination(context, who, { name: 'disk', type: 'directory', path, prefix: '', enabled: true });
    expect((await errorOf(make(user, `${root}/a`))).code).toBe('forbidden');
    expect((await errorOf(make(admin, '/etc'))).code).toBe('path_not_allowed');
    expect((await errorOf(make(admin, `${root}-beside`))).code).toBe('path_not_allowed');
    expect((await make(admin, `${root}/a`)).path).toBe(`${root}/a`);
  });

  it('cannot move while a backup lies in them, but can be disabled and get new keys', async () => {
    const { context, admin } = stack;
    const { destination, plan } = await registerPlan(context, admin);
    const backup = await requestBackup(context, admin, { planId: plan.id });
    await completeBackupRow(context, backup.id);
    const moved = updateDestination(context, admin, {
      destinationId: destination.id,
      changes: { prefix: 'elsewhere' },
    });
    const refused = await errorOf(moved);
    expect(refused.code).toBe('still_referenced');
    expect(refused.details.references).toEqual([backup.id]);
    const changes = { enabled: false, accessKeyId: 'new', secretAccessKey: 'new too' };
    expect((await updateDestination(context, admin, { destinationId: destination.id, changes })).enabled).toBe(false);
  });

  it('refuse fields of the other type', async () => {
    const { context, admin } = stack;
    const { id } = await registerDestination(context, admin);
    const wrong = updateDestination(context, admin, { destinationId: id, changes: { path: '/srv' } });
    expect((await errorOf(wrong)).details.fields).toEqual([
      { field: '/path', message: 'is not a field of a destination of type s3' },
    ]);
  });

  it('are deleted once no plan needs them; stored backups stay in the history', async () => {
    const { context, admin } = stack;
    const { destination, plan } = await registerPlan(context, admin);
    const backup = await requestBackup(context, admin, { planId: plan.id });
    expect(
      (await errorOf(deleteDestination(context, admin, { destinationId: destination.id }))).details.references,
    ).toEqual([plan.id, backup.id]);
    await completeBackupRow(context, backup.id);
    await context.catalog.prisma.plan.update({ where: { id: plan.id }, data: { deletedAt: new Date() } });
    await deleteDestination(context, admin, { destinationId: destination.id });
    expect((await errorOf(getDestination(context, admin, { destinationId: destination.id }))).code).toBe('not_found');
    expect(await context.catalog.prisma.backup.count({ where: { id: backup.id, deletedAt: null } })).toBe(1);
  });
});

describe('audit events', () => {
  it('record every change with who, what and the request, and show a user only their own', async () => {
    const { context, admin } = stack;
    const [anna, bert] = [await stack.addUser(), await stack.addUser()];
    const { id } = await registerDatabase(context, anna);
    await updateDatabase(context, anna, {
      databaseId: id,
      changes: { name: uniqueName(), password: 'secret-of-anna' },
    });
    await deleteDatabase(context, anna, { databaseId: id });
    const events = await listAuditEvents(context, anna, { limit: 50 });
    expect(events.items.map((event) => event.action)).toEqual([
      'database.deleted',
      'database.changed',
      'database.created',
    ]);
    expect(events.items.every((event) => event.objectId === id && event.requestId === 'req-test')).toBe(true);
    expect(JSON.stringify(events)).not.toContain('secret-of-anna');
    expect((await listAuditEvents(context, bert, { limit: 50 })).items).toEqual([]);
    expect((await listAuditEvents(context, admin, { limit: 50, objectId: id })).items).toHaveLength(3);
  });
});

describe('destinations in the embedded store', () => {
  it('follow it to another port, known by its own access key; others stay where they are', async () => {
    const { context, admin } = stack;
    const make = (accessKeyId: string, endpoint: string) =>
      createDestination(context, admin, {
        name: uniqueName('store'),
        type: 's3',
        endpoint,
        bucket: 'tidemark',
        region: 'us-east-1',
        prefix: '',
        accessKeyId,
        secretAccessKey: 'secret-of-a-store',
        forcePathStyle: true,
        enabled: true,
      });
    const own = await make('TIDEOWN0123456789', 'http://127.0.0.1:1');
    const other = await make('SOMEBODYELSE01234', 'http://127.0.0.1:1');
    const remote = await make('TIDEOWN0123456789', 'http://store.example:1');
    const store = { endpoint: 'http://127.0.0.1:2', accessKeyId: 'TIDEOWN0123456789' };
    expect(await followEmbeddedStore(context, store)).toEqual([own.id]);
    expect(await followEmbeddedStore(context, store)).toEqual([]);
    const endpointOf = async (destinationId: string) =>
      (await getDestination(context, admin, { destinationId })).endpoint;
    expect(await endpointOf(own.id)).toBe('http://127.0.0.1:2');
    expect(await endpointOf(other.id)).toBe('http://127.0.0.1:1');
    expect(await endpointOf(remote.id)).toBe('http://store.example:1');
  });
});
