/** MariaDB writes transactions of several GTID domains into one log: what is archived, and what a point means then. */
import { setTimeout as sleep } from 'node:timers/promises';
import { createConnection } from 'mysql2/promise';
import { expect, it } from 'vitest';
import { openSession } from '../../src/engines/mysql-family/session.js';
import { fromMicros } from '../../src/engines/shared/microseconds.js';
import { describeEngine } from '../support/engine-servers.js';
import { useSource } from './mysql-family-archive-source.js';
import { takeFamilyFull, transactionsOf } from './mysql-family-chain-support.js';
import { useSandboxes } from './postgres-chain-support.js';

for (const product of ['mariadb', 'mariadb1011'] as const) {
  describeEngine(product, `a ${product} server with several GTID domains`, () => {
    const source = useSource(product);
    const { server, context, engine } = source;
    const sandboxes = useSandboxes(context);

    it('stays the same server, and is recovered exactly by time and by a GTID of any domain', async () => {
      const client = await createConnection({
        ...{ host: server.host, port: server.port, user: server.adminUser, password: server.adminPassword },
      });
      const written: { n: number; gtid: string }[] = [];
      const write = async (domain: number) => {
        const n = written.length + 1;
        await client.query(`SET SESSION gtid_domain_id = ${domain}`);
        await client.query(`INSERT INTO shop.written (n) VALUES (${n})`);
        const [rows] = await client.query('SELECT @@last_gtid AS gtid');
        written.push({ n, gtid: (rows as { gtid: string }[])[0]?.gtid ?? '' });
      };
      const archive = source.newArchive();
      const first = await source.follow(archive);
      await write(0);
      const { server: before } = await engine.readLogEnd(source.connection(), context());
      await write(1);
      await first.catchUp();
      await first.stop();
      const full = await takeFamilyFull(server, context());
      expect(full.endPosition.gtidSet?.split(',')).toHaveLength(2);
      // A log of whole seconds tells nothing of points within the second of the full.
      await sleep(1_100);
      const second = await source.follow(archive);
      for (const domain of [1, 0, 5, 1]) await write(domain);
      await source.rotate();
      await sleep(1_100);
      for (const domain of [0, 5, 1, 0]) await write(domain);
      await client.end();
      const { position: logEnd } = await second.catchUp();
      await second.stop();
      expect(second.failure()).toBeNull();
      expect(second.follower.server.identity).toBe(before.identity);
      expect(full.server.identity).toBe(before.identity);

      const log = { logDir: archive.dir, logFiles: second.files(), logEnd };
      const all = await transactionsOf(product, log);
      const sixth = all.find(({ gtid }) => gtid === written[5]?.gtid);
      // Sandboxes take their time; one is enough to see that 10.11 is no other matter.
      const byTime = {
        target: { kind: 'time', time: fromMicros(sixth?.commitTimeMicros ?? 0n), before: false },
        last: 6,
      } as const;
      const byPosition = {
        target: { kind: 'position', position: written[8]?.gtid ?? '', before: true },
        last: 8,
      } as const;
      for (const { target, last } of product === 'mariadb' ? [byTime, byPosition] : [byPosition]) {
        const sandbox = await sandboxes.open([full], { ...log, target });
        const session = await openSession(sandbox.connection, {
          ...{ database: null, name: 'test', signal: new AbortController().signal },
        });
        const rows = await session.rows('SELECT n FROM shop.written ORDER BY n');
        expect(rows.map(({ n }) => Number(n))).toEqual(written.slice(0, last).map(({ n }) => n));
        expect(sandbox.lastApplied?.position).toBe(written[last - 1]?.gtid);
        await session.close();
        await sandbox.close();
      }
    }, 300_000);
  });
}
