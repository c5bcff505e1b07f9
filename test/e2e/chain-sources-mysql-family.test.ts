/** Where the backups and the log of MySQL and MariaDB servers are read when there is a replica: a server of its own, and its primary's successor. */
import { expect, test } from 'vitest';
import { createDatabase } from '../../src/usecases/create-database.js';
import { askForRun, attach, makePolicy } from '../support/attached-server.js';
import { describeEngine, usePrivateEngine } from '../support/engine-servers.js';
import { caughtUp, replicate } from '../support/replicate.js';
import { protectDatabase, settledBackup } from '../support/run-helpers.js';
import { useRunStack } from '../support/run-stack.js';
import { until } from '../support/until.js';

const WAIT_MS = 240_000;

for (const product of ['mysql', 'mariadb'] as const) {
  describeEngine(product, `a ${product} server with a replica`, () => {
    const source = usePrivateEngine(product);
    const replica = usePrivateEngine(product);
    const stack = useRunStack();

    test('is read from the replica, and followed there after its promotion, in a new stretch with its own full', async () => {
      const { prisma } = stack.catalog;
      const made = await protectDatabase(stack, source, { schema: 'create table written (n int primary key)' });
      await replicate(source, replica);
      const worker = await stack.startWorker({ queues: 'control,data,stream' });
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

      await source.query('insert into written values (1), (2)', made.name);
      await caughtUp(source, replica);
      const chain = () => prisma.chain.findUniqueOrThrow({ where: { id: chainId } });
      const covered = async (since: number) => ((await chain()).coveredTo?.getTime() ?? 0) > since;
      const written = Date.now();
      await until(() => covered(written), 'the log of the primary to be covered', WAIT_MS);
      // A follower that loses its source looks for another one after a minute; a new one does so at once.
      await worker.stop();
      await source.kill();
      await replica.query(product === 'mysql' ? 'STOP REPLICA; RESET REPLICA ALL' : 'STOP SLAVE; RESET SLAVE ALL');
      await replica.query('insert into written values (3)', made.name);
      const promoted = Date.now();
      await stack.startWorker({ queues: 'control,data,stream' });
      const gap = await until(() => prisma.logGap.findFirst({ where: { chainId } }), 'the gap to be noted', WAIT_MS);
      expect(gap.reason).toMatchObject({
        code: 'log_gap',
        message: expect.stringMatching(/has taken the place of .* It has everything that is stored\./),
      });
      expect(gap.from?.getTime()).toBeGreaterThan(written);
      expect(gap.from?.getTime()).toBeLessThan(promoted);
      await until(() => covered(promoted), 'the log of the new primary to be covered', WAIT_MS);
      expect(await chain()).toMatchObject({ archiveEpoch: 1, sourceDatabaseId: registered.id });
      const next = await until(
        () => prisma.backup.findFirst({ where: { chainId, kind: 'full', epoch: 1, status: 'completed' } }),
        'the full of the new stretch',
        WAIT_MS,
      );
      expect(next).toMatchObject({ sourceDatabaseId: registered.id, error: null });
      await until(
        async () => (await prisma.attachment.findUniqueOrThrow({ where: { id: row.id } })).pitrStatus === 'active',
        'PITR to be active again',
        WAIT_MS,
      );
      expect(await prisma.logGap.count({ where: { chainId } })).toBe(1);
      expect(await told('pitr_gap')).toHaveLength(1);
    }, 900_000);
  });
}
