import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compareFingerprints } from '../../src/domain/fingerprint.js';
import { readManifestRanges } from '../../src/engines/postgres/chain/backup-tap.js';
import { openFull } from '../../src/engines/postgres/chain/open-full.js';
import { openIncremental } from '../../src/engines/postgres/chain/open-incremental.js';
import { giveTo, serverUser } from '../../src/platform/run-as.js';
import type { TestEngine } from '../support/engine-servers.js';
import { describeEngine, usePrivateEngine } from '../support/engine-servers.js';
import { connectionTo, expectCode, useContext } from './contract-support.js';
import { printOf, takeFull, takeIncremental, useSandboxes } from './postgres-chain-support.js';

const FILL = `CREATE TABLE notes (id serial PRIMARY KEY, body text, at timestamptz DEFAULT now());
  INSERT INTO notes (body) SELECT repeat('x', g % 90) || g FROM generate_series(1, 5000) g;
  CREATE SEQUENCE counter; SELECT nextval('counter') FROM generate_series(1, 40);
  SELECT lo_from_bytea(0, '\\x00ff'); CREATE VIEW shown AS SELECT id FROM notes`;

/** With one, a backup is read from the server in another way. */
function useTablespace(server: TestEngine): void {
  let place = '';
  beforeAll(async () => {
    place = mkdtempSync(join(tmpdir(), 'ts-'));
    giveTo(serverUser(), place);
    await server.query(`CREATE TABLESPACE apart LOCATION '${place}'`);
  });
  afterAll(() => {
    if (place) rmSync(place, { recursive: true, force: true });
  });
}

for (const product of ['pg15', 'pg17', 'pg18'] as const) {
  describeEngine(product, `physical backups of ${product}`, () => {
    const server = usePrivateEngine(product);
    const context = useContext();
    const sandboxes = useSandboxes(context);

    it('copies a whole server, which a sandbox opens with every database equal', async () => {
      const [first, second] = [await server.createDatabase(), await server.createDatabase()];
      for (const name of [first, second]) await server.query(FILL, name);
      const full = await takeFull(server, context());
      expect(full.databases).toEqual(['postgres', first, second].sort());
      expect(full.result.sidecars.map(({ name }) => name)).toEqual(['backup_manifest']);
      const sandbox = await sandboxes.open([full]);
      expect(sandbox.databases).toEqual(full.databases);
      expect(sandbox.firstRefused).toBeNull();
      for (const database of [first, second]) {
        const found = await printOf({ ...sandbox.connection, database }, context());
        expect(found.tables).toMatchObject([{ name: 'public.notes', rows: '5000' }]);
        expect(compareFingerprints(await printOf(connectionTo(server, database), context()), found)).toEqual([]);
      }
      await sandbox.close();
    });

    it('names where its log begins and ends, and the time of the end by the clock of the server', async () => {
      const before = await server.query<{ now: Date; lsn: string }>(
        'SELECT clock_timestamp() AS now, pg_current_wal_lsn()::text AS lsn',
      );
      const { result } = await takeFull(server, context());
      const [after] = await server.query<{ inside: boolean }>(
        `SELECT '${result.startPosition.lsn}'::pg_lsn >= '${before[0]?.lsn}' AND '${result.endPosition.lsn}'::pg_lsn > '${result.startPosition.lsn}'
           AND '${result.endPosition.lsn}'::pg_lsn <= pg_current_wal_lsn()
           AND '${result.takenAt}'::timestamptz BETWEEN '${before[0]?.now.toISOString()}'::timestamptz - interval '1 ms' AND clock_timestamp() AS inside`,
      );
      expect(after?.inside).toBe(true);
      expect(result.startPosition.timeline).toBe(1);
      const slots = await server.query('SELECT slot_name FROM pg_replication_slots');
      expect(slots).toEqual([]);
    });

    if (product === 'pg15')
      it('has no incremental backups, and says so', async () => {
        const full = await takeFull(server, context());
        const message = await expectCode(takeIncremental(server, context(), full), 'incremental_impossible');
        expect(message).toContain('older than PostgreSQL 17');
      });
    else
      it('builds a chain: a full and two incrementals on one another', async () => {
        const database = await server.createDatabase();
        await server.query(FILL, database);
        const full = await takeFull(server, context());
        await server.query("UPDATE notes SET body = 'one' WHERE id < 100; CREATE TABLE later (a int)", database);
        const one = await takeIncremental(server, context(), full);
        await server.query(
          'INSERT INTO later SELECT generate_series(1, 700); DELETE FROM notes WHERE id > 4000',
          database,
        );
        const extra = await server.createDatabase();
        await server.query(FILL, extra);
        const two = await takeIncremental(server, context(), one);
        const sandbox = await sandboxes.open([full, one, two]);
        for (const name of [database, extra])
          expect(
            compareFingerprints(
              await printOf(connectionTo(server, name), context()),
              await printOf({ ...sandbox.connection, database: name }, context()),
            ),
          ).toEqual([]);
        await sandbox.close();
        // A link that is missing is noticed, whatever the names say.
        await expectCode(sandboxes.open([full, two]), 'sandbox_failed');
      });
  });
}

for (const tablespaces of [0, 1])
  describeEngine('pg17', `incrementals that are not possible, of a cluster with ${tablespaces} tablespaces,`, () => {
    const server = usePrivateEngine('pg17');
    const other = usePrivateEngine('pg17');
    if (tablespaces > 0) for (const one of [server, other]) useTablespace(one);
    const context = useContext();
    const refusal = async (work: Promise<unknown>): Promise<string | undefined> => {
      const error = await work.then(
        () => null,
        (reason: unknown) => reason as { code: string; details: { object?: string } },
      );
      expect(error?.code).toBe('incremental_impossible');
      return error?.details.object;
    };

    it('are refused on a parent of another cluster', async () => {
      expect(await refusal(takeIncremental(server, context(), await takeFull(other, context())))).toBe('identity');
    });

    it('are refused on a manifest that is damaged or of another cluster under our name', async () => {
      const full = await takeFull(server, context());
      const damaged = {
        ...full.parent,
        open: async () => Buffer.from((await full.parent.open('backup_manifest')).subarray(9)),
      };
      const open = (parent: typeof full.parent) =>
        openIncremental(connectionTo(server, 'postgres'), context(), { label: 't', parent });
      expect(await refusal(open(damaged))).toBe('manifest');
      const foreign = await takeFull(other, context());
      expect(await refusal(open({ ...full.parent, open: (name) => foreign.parent.open(name) }))).toBe('identity');
    });

    it('are refused while summarize_wal is off, with the statement that turns it on, and after its summaries are gone', async () => {
      const full = await takeFull(server, context());
      await server.query('ALTER SYSTEM SET summarize_wal = off');
      await server.query('SELECT pg_reload_conf()');
      const off = await takeIncremental(server, context(), full).catch((error: unknown) => error);
      expect(off).toMatchObject({ code: 'incremental_impossible', details: { object: 'summaries_off' } });
      for (let round = 0; round < 3; round++) {
        await server.query(
          'CREATE TABLE IF NOT EXISTS bulk (a text); INSERT INTO bulk SELECT repeat(md5(g::text), 20) FROM generate_series(1, 30000) g',
        );
        await server.query('SELECT pg_switch_wal(); CHECKPOINT');
      }
      for (const statement of ((off as { details: { statement: string } }).details.statement ?? '').split(/(?<=;) /))
        await server.query(statement);
      await server.query('CHECKPOINT');
      expect(await refusal(takeIncremental(server, context(), full))).toBe('summaries_missing');
      // A new full mends it.
      const again = await takeFull(server, context());
      expect((await takeIncremental(server, context(), again)).kind).toBe('incremental');
    });
  });

for (const tablespaces of [0, 1])
  describeEngine('pg17', `a physical backup of a cluster with ${tablespaces} tablespaces that is cut off`, () => {
    const server = usePrivateEngine('pg17');
    const context = useContext();
    if (tablespaces > 0) useTablespace(server);
    const open = () => openFull(connectionTo(server, 'postgres'), context(), { label: 'cut', fingerprint: false });
    const walsenders = () => server.query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsender'");

    it('counts for nothing before it was read to its end', async () => {
      const session = await open();
      await expectCode(session.finish(), 'dump_incomplete');
      await session.close();
    });

    it('fails when its connection is ended in the middle', async () => {
      const session = await open();
      const [part] = session.parts;
      const started = part!.start();
      started.stdout.on('error', () => {});
      await new Promise((resolve) => started.stdout.once('data', resolve));
      started.stdout.pause();
      await server.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'walsender'");
      started.stdout.resume();
      await expectCode(started.done, 'connection_lost', 'dump_failed');
      await expectCode(session.finish(), 'dump_incomplete');
      await session.close();
    });

    it('leaves no process, slot or connection at the server when it is closed', async () => {
      const session = await open();
      const { stdout, done } = session.parts[0]!.start();
      await new Promise((resolve) => stdout.once('data', resolve));
      stdout.pause();
      await session.close();
      await expectCode(done, 'cancelled');
      await expect.poll(walsenders, { timeout: 20_000 }).toEqual([]);
      expect(await server.query('SELECT slot_name FROM pg_replication_slots')).toEqual([]);
    });
  });

describe('a backup manifest', () => {
  it('is refused when a byte of it was changed', () => {
    expect(() => readManifestRanges(Buffer.from('{ "Files": [] }'))).toThrow('checksum');
  });
});
