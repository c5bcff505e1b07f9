/** Dumps of databases whose tables lie in tablespaces, restored where the server has those and where it has not. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { compareFingerprints } from '../../src/domain/fingerprint.js';
import { newId } from '../../src/domain/ids.js';
import { getEngine } from '../../src/engines/registry.js';
import { giveTo, serverUser } from '../../src/platform/run-as.js';
import type { TestEngine } from '../support/engine-servers.js';
import { describeEngine, uniqueName, useEngine, usePrivateEngine } from '../support/engine-servers.js';
import { connectionTo, partsOf, takeDump, useContext } from './contract-support.js';

describeEngine('pg17', 'a dump of a database with tablespaces', () => {
  const source = usePrivateEngine('pg17');
  const elsewhere = useEngine('pg17');
  const context = useContext();
  let root = '';

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'ts-'));
    giveTo(serverUser(), root);
    await source.query(`CREATE TABLESPACE kept LOCATION '${root}'`);
    await source.createDatabase({ name: 'spread' });
    await source.query(
      `CREATE TABLE a (id int PRIMARY KEY USING INDEX TABLESPACE kept, t text) TABLESPACE kept;
       CREATE INDEX ON a (t) TABLESPACE kept; CREATE MATERIALIZED VIEW v TABLESPACE kept AS SELECT 1 AS one;
       CREATE TABLE p (id int) PARTITION BY RANGE (id) TABLESPACE kept; CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9);
       INSERT INTO a SELECT i, 'x' FROM generate_series(1, 100) i; INSERT INTO p VALUES (1)`,
      'spread',
    );
  });
  afterAll(() => {
    if (root) rmSync(root, { recursive: true, force: true });
  });

  /** Restores the dump into a staging database of `server`, and compares it with what the server said it can hold. */
  const restoreTo = async (server: TestEngine, database = 'spread', login = {}) => {
    const dump = await takeDump(connectionTo(source, database), context());
    const session = await getEngine('postgresql').openRestore(
      { ...connectionTo(server, uniqueName()), ...login },
      context(),
      { restoreId: newId('restore'), attempt: 1 },
    );
    try {
      const { like, notes } = await session.fit!(dump.print);
      const staging = await session.createStaging(like);
      await session.load(staging, partsOf(dump));
      expect(compareFingerprints(like, await session.fingerprint(staging))).toEqual([]);
      const found = await server.query<{ n: string }>(
        `SELECT count(*) AS n FROM pg_class WHERE relnamespace = 'public'::regnamespace AND reltablespace <> 0`,
        staging,
      );
      return { notes, inTablespaces: Number(found[0]!.n) };
    } finally {
      await session.dropStaging();
      await session.close();
    }
  };

  it('is restored into the tablespaces where the target server has them', async () => {
    expect(await restoreTo(source)).toEqual({ notes: [], inTablespaces: 6 });
  });

  it('is restored into the default one where it has not, which is said', async () => {
    const { notes, inTablespaces } = await restoreTo(elsewhere);
    expect(notes).toMatchObject([{ code: 'tablespaces_missing', message: expect.stringContaining('kept') }]);
    expect(inTablespaces).toBe(0);
  });

  it('is restored into the default one by a role that may not use them', async () => {
    const role = uniqueName('tm');
    await source.query(`CREATE ROLE ${role} LOGIN CREATEDB PASSWORD 'secret'`);
    await source.query(`GRANT CREATE ON TABLESPACE kept TO ${role}`);
    await source.createDatabase({ name: 'owned', options: `OWNER ${role}` });
    await source.query(`SET ROLE ${role}; CREATE TABLE mine (a int) TABLESPACE kept`, 'owned');
    const login = { username: role, password: 'secret' };
    expect(await restoreTo(source, 'owned', login)).toEqual({ notes: [], inTablespaces: 1 });
    await source.query(`REVOKE CREATE ON TABLESPACE kept FROM ${role}`);
    const { notes, inTablespaces } = await restoreTo(source, 'owned', login);
    expect(notes[0]?.message).toContain(role);
    expect(inTablespaces).toBe(0);
  });
});
