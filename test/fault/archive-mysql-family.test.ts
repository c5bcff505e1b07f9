/** The log archives of MySQL and MariaDB servers under kills: nothing acknowledged is lost, no gap goes unsaid. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { getChainEngine } from '../../src/engines/chain-registry.js';
import type { ArchivedServer } from '../support/archived-server.js';
import { archiveServer } from '../support/archived-server.js';
import { compareBinlogs } from '../support/compare-binlogs.js';
import { describeEngine, usePrivateEngine } from '../support/engine-servers.js';
import { useRunStack } from '../support/run-stack.js';
import { startWriting } from '../support/start-writing.js';
import { until } from '../support/until.js';

const queues = 'control,data,stream';
const schema =
  'create table written (n bigint primary key, at timestamp(6) default current_timestamp(6), pad varchar(600))';

describe('the log archive', () => {
  const stack = useRunStack();
  const root = mkdtempSync(join(tmpdir(), 'tm-archive-'));
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  for (const product of ['mysql', 'mariadb'] as const) {
    describeEngine(product, `of a ${product} server`, () => {
      const source = usePrivateEngine(product);
      let server: ArchivedServer;
      beforeAll(async () => {
        server = await archiveServer(stack, source, getChainEngine(source.engine), { schema });
        await server.wake();
      });

      /** One epoch without a gap holds, linked and verified, the very bytes of every file that the server has, and as many commits as were answered. */
      async function expectWhole(): Promise<void> {
        await server.caughtUp();
        const dir = mkdtempSync(join(root, 'binlog-'));
        const files = await server.assemble(0, dir);
        expect(files.length).toBeGreaterThan(0);
        // The server removed none of its files, so the archive has them all.
        expect(compareBinlogs(source, dir, files)).toBe(files.length);
        const { prisma } = stack.catalog;
        expect(await prisma.logGap.count({ where: { chainId: server.chainId } })).toBe(0);
        expect(await server.chain()).toMatchObject({ archiveEpoch: 0, archiveStatus: 'following' });
      }

      test.each([
        ['between object and row', 'slice-stored', false],
        ['between row and acknowledgement, with the loss of its disk', 'slice-noted', true],
      ])(
        'loses nothing when its worker is killed %s',
        async (_when, place, loseSpool) => {
          const writer = startWriting(server);
          for (let round = 0; round < 2; round += 1) {
            const fault = stack.placeFaults([place]);
            const worker = await stack.startWorker({ queues, faults: fault.setting });
            await fault.reached(place, 120_000);
            await worker.kill();
            if (loseSpool) rmSync(join(stack.home, 'spool'), { recursive: true, force: true });
            // What goes on in the next file is received anew by name.
            await source.query('flush binary logs');
          }
          const worker = await stack.startWorker({ queues });
          const before = writer.committed();
          await until(() => writer.committed() >= before + 50, 'more commits', 60_000);
          await writer.stop();
          await expectWhole();
          await worker.stop();
        },
        500_000,
      );

      test('goes on after the source was killed while the store was away', async () => {
        const worker = await stack.startWorker({ queues });
        const writer = startWriting(server);
        await server.caughtUp();
        await stack.store.kill();
        const before = writer.committed();
        await until(() => writer.committed() >= before + 50, 'commits that cannot be stored', 60_000);
        await source.kill();
        await source.restart();
        await until(() => writer.committed() >= before + 100, 'commits after the crash', 60_000);
        await stack.store.start();
        await server.caughtUp(240_000);
        await writer.stop();
        await expectWhole();
        await worker.stop();
      }, 600_000);
    });
  }
});
