/** Where the backups and the log of MySQL and MariaDB servers are read when there is a replica: a server of its own, and its primary's successor. */
import { expect, test } from 'vitest';
import { createDatabase } from '../../src/usecases/create-database.js';
import { askForRun, attach, makePolicy } from '../support/attached-server.js';
import { describeEngine, usePrivateEngine } from '../support/engine-servers.js';
import { caughtUp, promote, replicate } from '../support/replicate.js';
import type { RestorePoint } from '../support/run-helpers.js';
import { protectDatabase, restorePoint, settledBackup } from '../support/run-helpers.js';
import { useRunStack } from '../support/run-stack.js';
import { until } from '../support/until.js';

const WAIT_MS = 240_000;

const servers = [
  // A replica of MySQL logs what it applies unless it is told not to, one of MariaDB only when it is told to.
  { product: 'mysql', goesOn: true },
  { product: 'mariadb', goesOn: false },
] as const;

for (const { product, goesOn } of servers) {
  describeEngine(product, `a ${product} server with a replica`, () => {
    const source = usePrivateEngine(product);
    const replica = usePrivateEngine(product);
    const stack = useRunStack();

    const how = goesOn ? 'without a gap' : 'in a new stretch with its own full where it has no log of before';
    test(`is read from the replica, and followed there after its promotion, ${how}, and restorable before and after`, async () => {
      const { prisma } = stack.catalog;
      const made = await protectDatabase(stack, source, { schema: 'create table written (n int primary key)' });
      await replicate(source, replica);
      const queues = 'control,data,stream';
      // A source that is silent for a minute is taken for dead; here for a quarter of one.
      await stack.startWorker({ queues, faults: 'wait=source-silent:15000' });
      const policyId = await makePolicy(stack, made.destination.id, { pitr: true });
      const row = await attach(stack, policyId, made.database.id);
      expect(row).toMatchObject({ status: 'active', lastError: null });
      const chainId = row.chainId ?? '';
      const registered = await createDatabase(stack.context, stack.admin, {
        ...{ name: 'replica', engine: source.engine, host: replica.host, port: replica.port },
        ...{ username: replica.adminUser, password: replica.adminPassword, database: made.name },
        primaryId: made.database.id,
      });
      const full = await settledBackup(stack, await askForRun(stack, chainId, 'full'), WAIT_MS);
      expect(full).toMatchObject({ status: 'completed', sourceDatabaseId: registered.id, error: null });
      const told = (event: string) => prisma.notification.findMany({ where: { event, policyId } });
      expect(await told('source_changed')).toMatchObject([{ backupId: full.id }]);

      const chain = () => prisma.chain.findUniqueOrThrow({ where: { id: chainId } });
      const covered = async (since: number) => ((await chain()).coveredTo?.getTime() ?? 0) > since;
      /** A point of the chain has the numbers up to this one. */
      const expectRows = async (point: RestorePoint, last: number) => {
        const restored = await restorePoint(stack, made.database.id, point, registered.id);
        expect(restored.row).toMatchObject({ status: 'completed', error: null });
        const rows = await replica.query<{ n: number }>('select n from written order by n', restored.name);
        expect(rows.map(({ n }) => n)).toEqual(Array.from({ length: last }, (_, index) => index + 1));
      };
      await source.query('insert into written values (1), (2)', made.name);
      await caughtUp(source, replica);
      const written = Date.now();
      await until(() => covered(written), 'the log of the primary to be covered', WAIT_MS);
      // Nobody says a word of it: the source is silent, and the replica a primary.
      await source.kill();
      await promote(replica);
      await replica.query('insert into written values (3)', made.name);
      // The log has microseconds: the number stands before the end of the present millisecond.
      const promoted = Date.now() + 1;
      await until(() => covered(promoted), 'the log of the new primary to be covered', WAIT_MS);
      expect(await chain()).toMatchObject({ archiveEpoch: goesOn ? 0 : 1, sourceDatabaseId: registered.id });
      const pitr = async () => (await prisma.attachment.findUniqueOrThrow({ where: { id: row.id } })).pitrStatus;
      const gaps = await prisma.logGap.findMany({ where: { chainId } });
      if (goesOn) {
        expect(gaps).toEqual([]);
        expect(await told('pitr_gap')).toEqual([]);
        // A range of a log that lies on both servers, and a full of the successor.
        const next = await settledBackup(stack, await askForRun(stack, chainId, 'incremental'), WAIT_MS);
        expect(next).toMatchObject({ status: 'completed', kind: 'incremental', parentId: full.id, error: null });
        await expectRows({ time: new Date(promoted).toISOString() }, 3);
        const own = await settledBackup(stack, await askForRun(stack, chainId, 'full'), WAIT_MS);
        expect(own).toMatchObject({ status: 'completed', sourceDatabaseId: registered.id, error: null });
      } else {
        expect(gaps).toHaveLength(1);
        expect(gaps[0]?.reason).toMatchObject({
          code: 'log_gap',
          message: expect.stringMatching(
            /has taken the place of .* It has everything that is stored\..* cannot be joined/,
          ),
        });
        expect(gaps[0]?.from?.getTime()).toBeGreaterThan(written);
        expect(gaps[0]?.from?.getTime()).toBeLessThan(promoted);
        const next = await until(
          () => prisma.backup.findFirst({ where: { chainId, kind: 'full', epoch: 1, status: 'completed' } }),
          'the full of the new stretch',
          WAIT_MS,
        );
        expect(next).toMatchObject({ sourceDatabaseId: registered.id, error: null });
        expect(await told('pitr_gap')).toHaveLength(1);
      }
      await until(async () => (await pitr()) === 'active', 'PITR to be active again', WAIT_MS);
      await replica.query('insert into written values (4)', made.name);
      const end = Date.now();
      await until(() => covered(end), 'the end to be covered', WAIT_MS);
      await expectRows({}, 4);
    }, 900_000);
  });
}
