import { afterAll, beforeAll, expect, it } from 'vitest';
import { inspectServer } from '../../src/engines/postgres/chain/inspect-server.js';
import { openFull } from '../../src/engines/postgres/chain/open-full.js';
import { openIncremental } from '../../src/engines/postgres/chain/open-incremental.js';
import { connect } from '../../src/engines/postgres/connect.js';
import { describeEngine, usePrivateEngine } from '../support/engine-servers.js';
import type { PostgresCopy } from '../support/start-standby.js';
import { copyPostgres } from '../support/start-standby.js';
import { connectionTo, useContext } from './contract-support.js';
import { takeAll, takeIncremental, useSandboxes } from './postgres-chain-support.js';

describeEngine('pg18', 'a standby as the source of a chain', () => {
  // Without full pages in its log a standby cannot be copied.
  const server = usePrivateEngine('pg18', { settings: { full_page_writes: 'on' } });
  const context = useContext();
  const sandboxes = useSandboxes(context);
  let standby: PostgresCopy;
  const connection = () => ({ ...connectionTo(server, 'postgres'), port: standby.port });

  beforeAll(async () => {
    await server.query('CREATE TABLE seen (a int); INSERT INTO seen VALUES (1)');
    standby = await copyPostgres(server, { standby: true });
    await standby.start();
  });
  afterAll(() => standby?.remove());

  it('gives a full, refuses an incremental by a reason of its own, and the primary takes that one', async () => {
    expect(await inspectServer(connection(), context(), { pitr: false, incremental: true })).toMatchObject({
      role: 'replica',
      full: true,
    });
    const session = await openFull(connection(), context(), { label: 'standby', fingerprint: false });
    expect(session.sourceRole).toBe('replica');
    const full = await takeAll(session, 'full');
    const refused = await openIncremental(connection(), context(), { label: 'standby', parent: full.parent }).then(
      () => null,
      (error: unknown) => error,
    );
    expect(refused).toMatchObject({ code: 'incremental_impossible', details: { object: 'standby' } });
    await server.query('INSERT INTO seen VALUES (2)');
    const incremental = await takeIncremental(server, context(), full);
    const sandbox = await sandboxes.open([full, incremental]);
    const inside = await connect(sandbox.connection, {
      signal: new AbortController().signal,
      applicationName: 'test',
      database: 'postgres',
    });
    expect(await inside.rows('SELECT a FROM seen ORDER BY a')).toEqual([{ a: '1' }, { a: '2' }]);
    await inside.close();
    await sandbox.close();
  });
});
