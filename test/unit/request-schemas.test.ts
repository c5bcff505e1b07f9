import { describe, expect, it } from 'vitest';
import { createBackupSchema, downloadQuery, listBackupsQuery } from '../../src/domain/schemas/backups.js';
import { createDatabaseSchema, updateDatabaseSchema } from '../../src/domain/schemas/databases.js';
import { createDestinationSchema } from '../../src/domain/schemas/destinations.js';
import { createPlanSchema } from '../../src/domain/schemas/plans.js';
import { createRestoreSchema } from '../../src/domain/schemas/restores.js';

const database = {
  name: 'Shop',
  engine: 'postgresql',
  host: 'db.example.org',
  port: 5432,
  username: 'backup',
  password: 'p',
  database: 'shop',
};
const s3 = { name: 'Store', type: 's3', bucket: 'backups', accessKeyId: 'a', secretAccessKey: 'b' };
const directory = { name: 'Disk', type: 'directory', path: '/srv/backups' };
const plan = { name: 'Nightly', databaseId: 'db_0123456789abcdef', destinationId: 'dst_0123456789abcdef' };
const restore = { source: { kind: 'backup', backupId: 'bkp_0123456789abcdef' } };

const accepts = (schema: { safeParse(value: unknown): { success: boolean } }, value: unknown) =>
  schema.safeParse(value).success;

describe('names', () => {
  it.each(['..', '.', 'a/b', 'a\\b', 'a\u0000b', 'a\nb', '\u202egnp', '\ud800', '', '   ', 'x'.repeat(101)])(
    'refuse %j',
    (name) => expect(accepts(createDatabaseSchema, { ...database, name })).toBe(false),
  );

  it.each(["Bob's; DROP TABLE x --", '$(reboot) `id`', 'B\u00e4ckerei \u{1f950}', '..hidden', 'a b'])(
    'take %j',
    (name) => expect(accepts(createDatabaseSchema, { ...database, name })).toBe(true),
  );
});

describe('access key ids', () => {
  it.each(['', '\u2026', 'AKIA EXAMPLE', 'AKIA\u00a0EXAMPLE', 'a\n'])(
    'refuse %j, which no header can hold',
    (accessKeyId) => expect(accepts(createDestinationSchema, { ...s3, accessKeyId })).toBe(false),
  );

  it('take what stores give out', () =>
    expect(accepts(createDestinationSchema, { ...s3, accessKeyId: 'GK31c2f218a2e44f485b94239e' })).toBe(true));
});

describe('addresses of databases', () => {
  it.each(['/var/run/postgresql', '-h', 'a b', 'a,b', 'host=evil', 'x?y', 'u@h', '[::1]', '..', 'a/b', 'h:5432x'])(
    'refuse the host %j',
    (host) => expect(accepts(createDatabaseSchema, { ...database, host })).toBe(false),
  );

  it.each(['localhost', '10.0.0.1', '::1', 'fe80::1', 'db-1.internal', 'my_db', 'db.example.org.'])(
    'take the host %j',
    (host) => expect(accepts(createDatabaseSchema, { ...database, host })).toBe(true),
  );

  it.each([0, 65536, 1.5, '5432', null])('refuse the port %j', (port) =>
    expect(accepts(createDatabaseSchema, { ...database, port })).toBe(false),
  );

  it('count the bytes of a PostgreSQL name and the characters of a MySQL name', () => {
    const name = '\u00e4'.repeat(40);
    expect(accepts(createDatabaseSchema, { ...database, database: name })).toBe(false);
    expect(accepts(createDatabaseSchema, { ...database, engine: 'mysql', database: name })).toBe(true);
  });

  it('refuse passwords that would break a password file, and take every printable one', () => {
    expect(accepts(createDatabaseSchema, { ...database, password: 'a\nb' })).toBe(false);
    expect(accepts(createDatabaseSchema, { ...database, password: 'a\u0000b' })).toBe(false);
    expect(accepts(createDatabaseSchema, { ...database, password: ` '"\\:$;&|\u00e9\u{1f511} ` })).toBe(true);
    expect(createDatabaseSchema.parse({ ...database, password: ' p ' }).password).toBe(' p ');
  });

  it('refuse unknown fields and empty changes', () => {
    expect(accepts(createDatabaseSchema, { ...database, owner: 'me' })).toBe(false);
    expect(accepts(updateDatabaseSchema, {})).toBe(false);
    expect(accepts(updateDatabaseSchema, { engine: 'mysql' })).toBe(false);
    expect(accepts(updateDatabaseSchema, { name: 'x' })).toBe(true);
  });
});

describe('places of destinations', () => {
  it.each(['../x', 'a/../b', 'a/./b', '..', 'a\\..\\b', 'a\u0000'])('refuse the prefix %j', (prefix) =>
    expect(accepts(createDestinationSchema, { ...s3, prefix })).toBe(false),
  );

  it('clean slashes of prefixes and paths', () => {
    expect(createDestinationSchema.parse({ ...s3, prefix: '//a///b/' }).prefix).toBe('a/b');
    expect(createDestinationSchema.parse({ ...directory, path: '//srv///b/' })).toMatchObject({ path: '/srv/b' });
  });

  it.each(['relative', './x', '/srv/../etc', '/srv/./x', '~/x', ''])('refuse the path %j', (path) =>
    expect(accepts(createDestinationSchema, { ...directory, path })).toBe(false),
  );

  it.each(['ftp://x', 'http://u:p@h', 'http://h/path', 'http://h?x=1', 'file:///etc', 'h:9000', 'javascript:1'])(
    'refuse the endpoint %j',
    (endpoint) => expect(accepts(createDestinationSchema, { ...s3, endpoint })).toBe(false),
  );

  it('refuse fields of the other type', () => {
    expect(accepts(createDestinationSchema, { ...s3, path: '/srv' })).toBe(false);
    expect(accepts(createDestinationSchema, { ...directory, bucket: 'backups' })).toBe(false);
  });
});

describe('plans', () => {
  it.each([
    [{ type: 'interval', everySeconds: 59 }, false],
    [{ type: 'interval', everySeconds: 60 }, true],
    [{ type: 'interval', everySeconds: 60.5 }, false],
    [{ type: 'interval' }, false],
    [{ type: 'manual', everySeconds: 60 }, false],
    [{ type: 'cron', expression: '0 0 * * *' }, true],
    [{ type: 'cron', expression: '0 0 * * *', timezone: '../../etc/passwd' }, false],
    [{ type: 'sometimes' }, false],
  ])('with the schedule %j: %s', (schedule, valid) => {
    expect(accepts(createPlanSchema, { ...plan, schedule })).toBe(valid);
  });

  it.each(['db_../../etc/passwd0', 'DB_0123456789abcdef', 'db_0123456789abcdef0', "db_' OR 1=1 --  "])(
    'refuse the database id %j',
    (databaseId) =>
      expect(accepts(createPlanSchema, { ...plan, databaseId, schedule: { type: 'manual' } })).toBe(false),
  );
});

describe('backups', () => {
  it('are requested for a plan or for a database, not for both', () => {
    const { databaseId } = plan;
    expect(accepts(createBackupSchema, { planId: 'plan_0123456789abcdef' })).toBe(true);
    expect(accepts(createBackupSchema, { databaseId, kind: 'full' })).toBe(true);
    expect(accepts(createBackupSchema, { databaseId, planId: 'plan_0123456789abcdef' })).toBe(false);
    expect(accepts(createBackupSchema, {})).toBe(false);
  });

  it.each([
    [{ limit: '0' }, false],
    [{ limit: '201' }, false],
    [{ limit: 'x' }, false],
    [{ limit: '' }, false],
    [{ limit: '200' }, true],
    [{ from: '2026-11-21T06:00:00+02:00' }, true],
    [{ from: '0000-01-01T00:00:00Z' }, false],
    [{ from: '2026-13-01T00:00:00Z' }, false],
    [{ from: 'yesterday' }, false],
    [{ cursor: '../x' }, false],
    [{ q: 'a\u0000' }, false],
    [{ status: 'done' }, false],
    [{ unknown: '1' }, false],
  ])('are listed with %j: %s', (query, valid) => expect(accepts(listBackupsQuery, query)).toBe(valid));

  it.each(['../manifest.json', '/etc/passwd', '.hidden', 'a/b', ''])('are not downloaded as the file %j', (file) =>
    expect(accepts(downloadQuery, { file })).toBe(false),
  );
});

describe('restores', () => {
  const target = (value: object) => accepts(createRestoreSchema, { ...restore, target: { kind: 'server', ...value } });

  it('go to a registered database or to a connection, not to a mixture', () => {
    const connection = { host: 'h', username: 'u', password: 'p' };
    expect(target({ databaseId: plan.databaseId, database: 'copy' })).toBe(true);
    expect(target(connection)).toBe(true);
    expect(target({ ...connection, databaseId: plan.databaseId })).toBe(false);
    expect(target({ host: 'h', username: 'u' })).toBe(false);
    expect(target({ ...connection, host: '/tmp' })).toBe(false);
  });

  it('take the safe choice for what is not said', () => {
    expect(createRestoreSchema.parse({ ...restore, target: { kind: 'original' } })).toMatchObject({
      overwrite: false,
      confirmOverwrite: false,
      keepPreviousHours: 24,
    });
  });
});
