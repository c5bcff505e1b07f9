import { expect, it } from 'vitest';
import { engineProducts } from '../../src/platform/installed.js';
import { describeEngine, useEngine, usePrivateEngine } from '../support/engine-servers.js';

for (const product of engineProducts) {
  describeEngine(product, `a ${product} server for tests`, () => {
    const engine = useEngine(product);

    it('answers its admin over TCP, and gives a database of its own', async () => {
      const name = await engine.createDatabase();
      await engine.query('CREATE TABLE t (id int PRIMARY KEY)', name);
      await engine.query('INSERT INTO t VALUES (1), (2)', name);
      expect(await engine.query('SELECT count(*) AS n FROM t', name)).toEqual([
        { n: engine.engine === 'postgresql' ? '2' : 2 },
      ]);
    });

    it('logs changes in the form that Tidemark needs', async () => {
      if (engine.engine === 'postgresql') {
        expect(await engine.query('SHOW wal_level')).toEqual([{ wal_level: 'logical' }]);
        if (product !== 'pg15') expect(await engine.query('SHOW summarize_wal')).toEqual([{ summarize_wal: 'on' }]);
        return;
      }
      const [row] = await engine.query(
        'SELECT @@global.log_bin AS on_, @@global.binlog_format AS format, @@global.binlog_row_metadata AS metadata',
      );
      expect(row).toEqual({ on_: 1, format: 'ROW', metadata: 'FULL' });
    });
  });
}

describeEngine('pg18', 'a private server', () => {
  const engine = usePrivateEngine('pg18', { settings: { max_connections: '17' } });

  it('keeps its data and port when it is killed and restarted', async () => {
    const name = await engine.createDatabase();
    await engine.query('CREATE TABLE t AS SELECT 7 AS n', name);
    const { port, pid } = engine;
    await engine.kill();
    await expect(engine.query('SELECT 1')).rejects.toThrow();
    await engine.restart();
    expect(engine.port).toBe(port);
    expect(engine.pid).not.toBe(pid);
    expect(await engine.query('SELECT n FROM t', name)).toEqual([{ n: 7 }]);
    expect(await engine.query('SHOW max_connections')).toEqual([{ max_connections: '17' }]);
  });
});
