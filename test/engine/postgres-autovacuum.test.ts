import pg from 'pg';
import { expect, it } from 'vitest';
import { newId } from '../../src/domain/ids.js';
import { postgresEngine } from '../../src/engines/postgres/engine.js';
import { describeEngine, usePrivateEngine } from '../support/engine-servers.js';
import { until } from '../support/until.js';
import { connectionTo, useContext } from './contract.js';

describeEngine('pg17', 'autovacuum in the databases of a restore', () => {
  // It starts at once, has always something to do, and takes its time.
  const server = usePrivateEngine('pg17', {
    settings: {
      autovacuum_naptime: '1s',
      autovacuum_vacuum_threshold: '0',
      autovacuum_vacuum_scale_factor: '0',
      autovacuum_vacuum_cost_delay: '100ms',
      autovacuum_vacuum_cost_limit: '1',
    },
  });
  const context = useContext();

  it('keeps a role without superuser rights neither from dropping a staging database nor from the swap', async () => {
    await server.query("CREATE ROLE owner_only LOGIN CREATEDB PASSWORD 'some-password'");
    const database = await server.createDatabase({ options: 'OWNER owner_only' });
    const connection = { ...connectionTo(server, database), username: 'owner_only', password: 'some-password' };
    const busy = async (name: string) => {
      const { host, port } = server;
      const own = new pg.Client({ host, port, user: 'owner_only', password: 'some-password', database: name });
      await own.connect();
      await own.query('CREATE TABLE t AS SELECT g FROM generate_series(1, 100000) g');
      await own.query('DELETE FROM t');
      await own.end();
      await until(
        async () =>
          (
            await server.query(
              `SELECT 1 FROM pg_stat_activity WHERE backend_type = 'autovacuum worker' AND datname = '${name}' AND query LIKE 'autovacuum: %t%'`,
            )
          ).length > 0,
        `autovacuum to work in ${name}`,
        30_000,
      );
    };
    const session = await postgresEngine.openRestore(connection, context(), {
      restoreId: newId('restore'),
      attempt: 1,
    });
    try {
      await busy(await session.createStaging(null));
      await session.dropStaging();
      expect(await server.query("SELECT 1 FROM pg_database WHERE datname LIKE 'tm_stage_%'")).toEqual([]);

      const staging = await session.createStaging(null);
      await busy(database);
      const previous = `${database}__before_x`;
      const plan = await session.planSwap({ staging, target: database, previous });
      for (const step of plan.steps) await session.runStep(step, 'apply');
      expect(await server.query(`SELECT 1 FROM pg_database WHERE datname = '${previous}'`)).toHaveLength(1);
      await session.dropPrevious(previous);
    } finally {
      await session.close();
    }
  }, 120_000);
});
