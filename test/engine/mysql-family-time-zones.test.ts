/** Sessions with named time zones in the log: what their statements mean depends on tables that a new server does not have. */
import { beforeAll, expect, it } from 'vitest';
import { SYSTEM_ZONE } from '../../src/engines/mysql-family/chain/system-zone.js';
import { openSession } from '../../src/engines/mysql-family/session.js';
import { describeEngine, usePrivateEngine } from '../support/engine-servers.js';
import { expectCode, useContext } from './contract-support.js';
import type { FamilyProduct } from './mysql-family-chain-support.js';
import { takeFamilyFull, useLogCopies } from './mysql-family-chain-support.js';
import type { TakenBackup } from './postgres-chain-support.js';
import { useSandboxes } from './postgres-chain-support.js';

// A zone that no file of this machine has: the source's own rules are what counts. Two hours off in its summer of 2024.
const zone = `
  INSERT INTO mysql.time_zone VALUES (7, 'N');
  INSERT INTO mysql.time_zone_name VALUES ('Made/Up', 7);
  INSERT INTO mysql.time_zone_transition_type VALUES (7, 0, 0, 0, 'MUT'), (7, 1, 7200, 1, 'MUST');
  INSERT INTO mysql.time_zone_transition VALUES (7, -2147483648, 0), (7, 1711850400, 1), (7, 1729994400, 0);`;

const products: readonly FamilyProduct[] = ['mysql', 'mariadb'];
for (const product of products) {
  describeEngine(product, `the log of ${product} sessions with a named time zone`, () => {
    const server = usePrivateEngine(product);
    const context = useContext();
    const sandboxes = useSandboxes(context);
    const logs = useLogCopies(server);
    let full: TakenBackup;
    beforeAll(async () => {
      await server.query(zone);
      await server.query(
        'CREATE DATABASE shop; CREATE TABLE shop.t (id int PRIMARY KEY); INSERT INTO shop.t VALUES (1)',
      );
      full = await takeFamilyFull(server, context());
    });

    it('is replayed by the rules of the source', async () => {
      await server.query(
        `SET time_zone = 'Made/Up'; ALTER TABLE shop.t ADD COLUMN at timestamp NOT NULL DEFAULT '2024-07-01 12:00:00';
         INSERT INTO shop.t VALUES (2, '2024-07-01 13:00:00'), (3, '2024-01-01 13:00:00')`,
      );
      const read = 'SELECT id, UNIX_TIMESTAMP(at) AS at FROM shop.t ORDER BY id';
      const expected = [1_719_828_000, 1_719_831_600, 1_704_114_000].map((at, index) => ({
        id: `${index + 1}`,
        at: `${at}`,
      }));
      const there = await server.query<{ id: number; at: number }>(read);
      expect(there.map(({ id, at }) => ({ id: `${id}`, at: `${at}` }))).toEqual(expected);
      const sandbox = await sandboxes.open([full], { ...(await logs.collect()), target: { kind: 'latest' } });
      const session = await openSession(sandbox.connection, {
        ...{ database: null, name: 'test', signal: new AbortController().signal },
      });
      expect(await session.rows(read)).toEqual(expected);
      expect(await session.value("SELECT CONVERT_TZ('2024-07-01 12:00:00', 'Made/Up', '+00:00')")).toBe(
        '2024-07-01 10:00:00',
      );
      await session.close();
      await sandbox.close();
    }, 300_000);

    it('is replayed in the zone of the source where sessions name none', async () => {
      expect(full.cluster[SYSTEM_ZONE]).toBe(Intl.DateTimeFormat().resolvedOptions().timeZone);
      await server.query(
        "SET time_zone = 'SYSTEM'; ALTER TABLE shop.t ADD COLUMN made timestamp NOT NULL DEFAULT '2024-07-01 12:00:00'",
      );
      const stored = await logs.collect();
      // The source of this test has this machine's zone; a full that tells another one is recovered in that.
      const moved = { ...full, cluster: { ...full.cluster, [SYSTEM_ZONE]: 'America/New_York' } };
      const sandbox = await sandboxes.open([moved], { ...stored, target: { kind: 'latest' } });
      const session = await openSession(sandbox.connection, {
        ...{ database: null, name: 'test', signal: new AbortController().signal },
      });
      expect(await session.value('SELECT DISTINCT made FROM shop.t')).toBe('2024-07-01 16:00:00');
      await session.close();
      await sandbox.close();
      const nowhere = { ...full, cluster: { ...full.cluster, [SYSTEM_ZONE]: 'Made/Up' } };
      await expectCode(sandboxes.open([nowhere], { ...stored, target: { kind: 'latest' } }), 'sandbox_failed');
    }, 300_000);
  });
}
