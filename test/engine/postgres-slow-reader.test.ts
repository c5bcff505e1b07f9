import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, expect, it } from 'vitest';
import { loadConfig } from '../../src/config.js';
import { postgresEngine } from '../../src/engines/postgres/engine.js';
import { enginesRoot } from '../../src/platform/installed.js';
import { connectionTo } from '../support/connection-to.js';
import { describeEngine, useEngine } from '../support/engine-servers.js';

describeEngine('pg17', 'a PostgreSQL dump', () => {
  const server = useEngine('pg17');
  const scratchDir = mkdtempSync(join(tmpdir(), 'tm-slow-'));
  afterAll(() => rmSync(scratchDir, { recursive: true, force: true }));

  // pg_dump ends while megabytes of its output still wait in front of a store that is slower.
  it('is complete for a reader that is much slower than pg_dump', async () => {
    const database = await server.createDatabase();
    await server.query(
      `CREATE TABLE t AS SELECT i, repeat(md5(i::text), 20) AS filler FROM generate_series(1, 20000) i`,
      database,
    );
    const session = await postgresEngine.openDump(
      connectionTo(server, database),
      { signal: new AbortController().signal, scratchDir, toolRoots: [enginesRoot(loadConfig().install)] },
      { fingerprint: false },
    );
    try {
      const { stdout, done } = session.parts[0]!.start();
      let bytes = 0;
      for await (const chunk of stdout) {
        bytes += (chunk as Buffer).length;
        await delay(10);
      }
      await done;
      expect(bytes).toBeGreaterThan(12_000_000);
    } finally {
      await session.close();
    }
  });
});
