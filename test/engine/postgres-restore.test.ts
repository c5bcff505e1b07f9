import { Readable } from 'node:stream';
import pg from 'pg';
import { afterAll, describe, expect, it } from 'vitest';
import { compareFingerprints } from '../../src/domain/fingerprint.js';
import { newId } from '../../src/domain/ids.js';
import type { DatabaseConnection, RestoreSession } from '../../src/engines/engine.js';
import { postgresEngine } from '../../src/engines/postgres/engine.js';
import { describeEngine, uniqueName, useEngine } from '../support/engine-servers.js';
import { connectionTo, expectCode, partsOf, takeDump, useContext } from './contract.js';

describeEngine('pg18', 'PostgreSQL restore', () => {
  const server = useEngine('pg18');
  const context = useContext();
  const roles: string[] = [];
  const opened: RestoreSession[] = [];

  const createRole = async (attributes = ''): Promise<string> => {
    const name = uniqueName('tm_role');
    await server.query(`CREATE ROLE ${name} ${attributes}`);
    roles.push(name);
    return name;
  };
  const open = async (connection: DatabaseConnection): Promise<RestoreSession> => {
    const session = await postgresEngine.openRestore(connection, context(), {
      restoreId: newId('restore'),
      attempt: 1,
    });
    opened.push(session);
    return session;
  };
  afterAll(async () => {
    for (const session of opened) {
      await session.dropStaging().catch(() => {});
      await session.close();
    }
    for (const role of roles) await server.query(`DROP ROLE IF EXISTS ${role}`).catch(() => {});
  });

  describe('before anything is written', () => {
    it('refuses when roles are missing and gives the statements that make them', async () => {
      const database = await server.createDatabase();
      const role = await createRole();
      await server.query(`CREATE TABLE t (a int); GRANT SELECT ON t TO ${role}`, database);
      const { print } = await takeDump(connectionTo(server, database), context());
      const session = await open(connectionTo(server, database));
      const like = { ...print, database: { ...print.database, roles: JSON.stringify([role, 'tm "gone"']) } };
      expect(await expectCode(session.createStaging(like), 'roles_missing')).toContain('CREATE ROLE "tm ""gone""";');
      expect(await server.query("SELECT 1 FROM pg_database WHERE datname LIKE 'tm_stage_%'")).toEqual([]);
    });

    it('refuses when an extension is not at hand on the target', async () => {
      const database = await server.createDatabase();
      const { print } = await takeDump(connectionTo(server, database), context());
      const session = await open(connectionTo(server, database));
      const extension = { type: 'EXTENSION', name: 'no_such_extension', definition: '', owner: null, grants: [] };
      expect(
        await expectCode(session.createStaging({ ...print, objects: [extension] }), 'extensions_missing'),
      ).toContain('no_such_extension');
    });

    it('says that the locale is missing', async () => {
      const database = await server.createDatabase();
      const { print } = await takeDump(connectionTo(server, database), context());
      const session = await open(connectionTo(server, database));
      const like = { ...print, database: { ...print.database, collate: 'xx_XX.UTF-8', ctype: 'xx_XX.UTF-8' } };
      expect(await expectCode(session.createStaging(like), 'not_supported')).toContain('xx_XX.UTF-8');
    });

    it('says which right a role lacks to create a database or to swap one', async () => {
      const database = await server.createDatabase();
      await createRole();
      const role = await createRole("LOGIN PASSWORD 'some-password'");
      const session = await open({ ...connectionTo(server, database), username: role, password: 'some-password' });
      expect(await session.inspect(database)).toMatchObject({ canCreateDatabase: false });
      expect(await expectCode(session.createStaging(null), 'privilege_missing')).toContain(
        `ALTER ROLE "${role}" CREATEDB;`,
      );
      await server.query(`ALTER ROLE ${role} CREATEDB`);
      const staging = await session.createStaging(null);
      expect(
        await expectCode(
          session.planSwap({ staging, target: database, previous: `${database}__before_x` }),
          'privilege_missing',
        ),
      ).toContain('OWNER TO');
    });

    it('names slots, subscriptions and prepared transactions that hang on the target', async () => {
      const database = await server.createDatabase();
      const slot = uniqueName('slot');
      await server.query(`SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`, database);
      await server.query(
        "CREATE SUBSCRIPTION tied CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p WITH (connect = false)",
        database,
      );
      const session = await open(connectionTo(server, database));
      expect((await session.inspect(database)).outsideTies).toEqual([`replication slot ${slot}`, 'subscription tied']);
      await server.query(`SELECT pg_drop_replication_slot('${slot}')`);
      await server.query('ALTER SUBSCRIPTION tied SET (slot_name = NONE); DROP SUBSCRIPTION tied', database);
    });
  });

  it('works for the owner of a database who is no superuser', async () => {
    const role = await createRole("LOGIN CREATEDB PASSWORD 'some-password'");
    const database = await server.createDatabase({ options: `OWNER ${role}` });
    const connection = { ...connectionTo(server, database), username: role, password: 'some-password' };
    const own = new pg.Client({
      host: server.host,
      port: server.port,
      user: role,
      password: 'some-password',
      database,
    });
    await own.connect();
    await own.query(
      `CREATE SCHEMA app; CREATE EXTENSION hstore; CREATE TABLE app.t (id int GENERATED ALWAYS AS IDENTITY, h hstore); INSERT INTO app.t (h) VALUES ('a=>1');
       CREATE VIEW app.v AS SELECT * FROM app.t; GRANT SELECT ON app.v TO PUBLIC; COMMENT ON TABLE app.t IS 'c'; SELECT lo_from_bytea(0, 'mine');
       ALTER DATABASE ${database} SET work_mem = '5MB'; COMMENT ON DATABASE ${database} IS 'mine'; REVOKE CONNECT ON DATABASE ${database} FROM PUBLIC`,
    );
    await own.end();
    const dump = await takeDump(connection, context());
    const session = await open(connection);
    const staging = await session.createStaging(dump.print);
    await session.load(staging, partsOf(dump));
    expect(compareFingerprints(dump.print, await session.fingerprint(staging))).toEqual([]);
    const previous = `${database}__before_x`;
    const plan = await session.planSwap({ staging, target: database, previous });
    for (const step of plan.steps) await session.runStep(step, 'apply');
    expect(compareFingerprints(dump.print, await session.fingerprint(database))).toEqual([]);
    await session.dropPrevious(previous);
  });

  it('loads into an existing empty database all or nothing', async () => {
    const source = await server.createDatabase();
    await server.query('CREATE TABLE t AS SELECT 1 AS a; CREATE TABLE u (id int PRIMARY KEY)', source);
    const dump = await takeDump(connectionTo(server, source), context());
    const target = await server.createDatabase();
    const session = await open(connectionTo(server, target));
    const [part] = dump.parts;
    const cut = part!.content.subarray(0, part!.content.length - 10);
    await expectCode(
      session.load(target, [{ name: 'dump.pgc', open: async () => Readable.from([cut]) }]),
      'load_failed',
    );
    expect(await session.inspect(target)).toMatchObject({ empty: true });
    await session.load(target, partsOf(dump));
    expect((await session.fingerprint(target)).tables).toEqual(dump.print.tables);
    expect(await expectCode(session.load(target, partsOf(dump)), 'load_failed')).toContain('already exists');
  });

  it('does not take a file of another kind for a dump', async () => {
    const session = await open(connectionTo(server, await server.createDatabase()));
    const staging = await session.createStaging(null);
    const junk = {
      name: 'dump.pgc',
      open: async () => Readable.from([Buffer.from('-- SQL text, not an archive\n'.repeat(50))]),
    };
    expect(await expectCode(session.load(staging, [junk]), 'load_failed')).toContain('dump.pgc');
  });

  describe('swap', () => {
    it('carries owner, grants, limits, settings of the database and of roles in it, and the comment', async () => {
      const [owner, reader] = [await createRole(), await createRole()];
      const target = await server.createDatabase();
      await server.query(
        `ALTER DATABASE ${target} OWNER TO ${owner}; REVOKE ALL ON DATABASE ${target} FROM PUBLIC; GRANT CONNECT ON DATABASE ${target} TO ${reader} WITH GRANT OPTION;
         ALTER DATABASE ${target} CONNECTION LIMIT 17; ALTER DATABASE ${target} SET search_path TO "$user", "odd, ""schema""", public; ALTER DATABASE ${target} SET work_mem TO '7MB';
         ALTER DATABASE ${target} SET "my.own_setting" TO 'it''s \\ so'; ALTER ROLE ${reader} IN DATABASE ${target} SET statement_timeout TO '3s';
         ALTER DATABASE ${target} SET default_transaction_read_only TO on; COMMENT ON DATABASE ${target} IS 'it''s mine'`,
      );
      const dump = await takeDump(connectionTo(server, target), context());
      const session = await open(connectionTo(server, target));
      const properties = async (name: string) => {
        const [row] = await server.query(
          `SELECT pg_get_userbyid(datdba) AS owner, (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(datacl) a) AS grants, datconnlimit, shobj_description(d.oid, 'pg_database') AS comment, datallowconn,
             (SELECT json_agg(json_build_array(setrole::regrole, (SELECT array_agg(c ORDER BY c) FROM unnest(setconfig) c)) ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = d.oid) AS settings
           FROM pg_database d WHERE datname = '${name}'`,
        );
        return row;
      };
      const before = await properties(target);
      const staging = await session.createStaging(null);
      await session.load(staging, partsOf(dump));
      const previous = `${target}__before_x`;
      const plan = await session.planSwap({ staging, target, previous });
      for (const step of plan.steps) await session.runStep(step, 'apply');
      expect(await properties(target)).toEqual(before);
      // The former content is kept as it was, but nobody gets in.
      expect(await properties(previous)).toEqual({ ...before, datallowconn: false });
      await session.dropPrevious(previous);
      // Another name has no target to carry from: it gets what the source had.
      const copy = await session.createStaging(dump.print);
      expect(await properties(copy)).toEqual(before);
      await session.load(copy, partsOf(dump));
      expect(compareFingerprints(dump.print, await session.fingerprint(copy))).toEqual([]);
    });

    it('shuts applications out while it runs: nobody reads the old content after the new', async () => {
      const target = await server.createDatabase();
      await server.query("CREATE TABLE marker AS SELECT 'new' AS content", target);
      const dump = await takeDump(connectionTo(server, target), context());
      await server.query("UPDATE marker SET content = 'old'", target);
      const session = await open(connectionTo(server, target));
      const staging = await session.createStaging(dump.print);
      await session.load(staging, partsOf(dump));
      const seen: string[] = [];
      let isDone = false;
      const application = async () => {
        while (!isDone) {
          const { host, port, adminUser: user, adminPassword: password } = server;
          const client = new pg.Client({ host, port, user, password, database: target });
          client.on('error', () => {});
          try {
            await client.connect();
            for (let i = 0; i < 20 && !isDone; i++)
              seen.push((await client.query('SELECT content FROM marker')).rows[0].content);
          } catch {
            seen.push('refused');
          } finally {
            await client.end().catch(() => {});
          }
        }
      };
      const applications = [application(), application(), application()];
      const idle = new pg.Client({
        host: server.host,
        port: server.port,
        user: server.adminUser,
        password: server.adminPassword,
        database: target,
      });
      idle.on('error', () => {});
      await idle.connect();
      await idle.query("BEGIN; UPDATE marker SET content = 'lost'");
      await expect.poll(() => seen.length, { timeout: 60_000 }).toBeGreaterThan(20);
      const { steps } = await session.planSwap({ staging, target, previous: `${target}__before_x` });
      for (const step of steps) await session.runStep(step, 'apply');
      await expect.poll(() => seen.at(-1), { timeout: 30_000 }).toBe('new');
      isDone = true;
      await Promise.all(applications);
      await idle.end().catch(() => {});
      expect(seen[0]).toBe('old');
      expect(seen.lastIndexOf('old')).toBeLessThan(seen.indexOf('new'));
      await session.dropPrevious(`${target}__before_x`);
    });

    it('puts everything back when a step fails', async () => {
      const target = await server.createDatabase();
      const dump = await takeDump(connectionTo(server, target), context());
      const session = await open(connectionTo(server, target));
      const staging = await session.createStaging(dump.print);
      const { steps } = await session.planSwap({ staging, target, previous: `${target}__before_x` });
      await server.query(`CREATE DATABASE "${target}__before_x"`);
      const applied: (typeof steps)[number][] = [];
      const run = async () => {
        for (const step of steps) {
          applied.push(step);
          await session.runStep(step, 'apply');
        }
      };
      await expectCode(run(), 'swap_failed');
      for (const step of applied.reverse()) await session.runStep(step, 'revert');
      expect(await server.query('SELECT 1 AS one', target)).toEqual([{ one: 1 }]);
      await server.dropDatabase(`${target}__before_x`);
    });
  });
});

describeEngine('pg15', 'PostgreSQL restore on a server of another major', () => {
  const older = useEngine('pg15');
  const newer = useEngine('pg17');
  const context = useContext();

  it('takes a dump of an older major to a newer server', async () => {
    const database = await older.createDatabase();
    await older.query(
      "CREATE TABLE t (id int PRIMARY KEY, a text CHECK (a IN ('x', 'y'))); INSERT INTO t VALUES (1, 'x')",
      database,
    );
    const dump = await takeDump(connectionTo(older, database), context());
    const session = await postgresEngine.openRestore(connectionTo(newer, 'fresh'), context(), {
      restoreId: newId('restore'),
      attempt: 1,
    });
    const staging = await session.createStaging(dump.print);
    await session.load(staging, partsOf(dump));
    expect((await session.fingerprint(staging)).tables).toEqual(dump.print.tables);
    await session.dropStaging();
    await session.close();
  });

  it('says that an older server cannot read the dump of a newer one', async () => {
    const dump = await takeDump(connectionTo(newer, await newer.createDatabase()), context());
    const session = await postgresEngine.openRestore(connectionTo(older, 'fresh'), context(), {
      restoreId: newId('restore'),
      attempt: 1,
    });
    const staging = await session.createStaging(null);
    await expectCode(session.load(staging, partsOf(dump)), 'server_version_unsupported');
    await session.dropStaging();
    await session.close();
  });
});
