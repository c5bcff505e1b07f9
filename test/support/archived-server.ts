/** A server whose log is archived under a policy, made of rows alone: what the archive does must not depend on who wrote them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { claimChainRun } from '../../src/catalog/runs/claim-chain.js';
import { newId } from '../../src/domain/ids.js';
import type { ChainEngine } from '../../src/engines/chain-engine.js';
import { masterKeyOpener } from '../../src/keys/key-opener.js';
import { readRecords } from '../../src/recovery/resume-log.js';
import { assembleLogFiles } from '../../src/storage/assemble-log-files.js';
import { openDestination } from '../../src/storage/open-destination.js';
import { wakeSignal, workflowTypes } from '../../src/workflows/messages.js';
import { archiveWorkflowId, chainWorkflowId, taskQueues } from '../../src/workflows/names.js';
import { compareBinlogs } from './compare-binlogs.js';
import { connectionTo } from './connection-to.js';
import type { TestEngine } from './engine-servers.js';
import type { RestorePoint } from './run-helpers.js';
import { protectDatabase, restorePoint, settledBackup } from './run-helpers.js';
import type { RunStack } from './run-stack.js';
import { until } from './until.js';

const signal = new AbortController().signal;

export type ArchivedServer = Awaited<ReturnType<typeof archiveServer>>;

export async function archiveServer(
  stack: RunStack,
  source: TestEngine,
  engine: Pick<ChainEngine, 'readLogEnd'>,
  options: { readonly schema: string; readonly encryption?: boolean },
) {
  const { prisma } = stack.catalog;
  const made = await protectDatabase(stack, source, options);
  const { keyId } = await prisma.plan.findUniqueOrThrow({ where: { id: made.plan.id } });
  const connection = connectionTo(source, made.name);
  const { server } = await engine.readLogEnd(connection, { signal, scratchDir: stack.home, toolRoots: [] });
  const serverId = newId('server');
  const policyId = newId('policy');
  const chainId = newId('chain');
  const { engine: kind, ...about } = server;
  await prisma.server.create({ data: { id: serverId, engine: kind, ...about } });
  await prisma.database.update({ where: { id: made.database.id }, data: { serverId, sizeBytes: 100_000_000n } });
  await prisma.policy.create({
    data: {
      id: policyId,
      name: `policy of ${made.name}`,
      ownerId: stack.admin.userId,
      destinationId: made.destination.id,
      schedule: { full: { frequency: 'daily', time: '03:00' }, incremental: 'none' },
      pitr: true,
      retention: { fulls: 7, incrementalDays: 30, pitrHours: 72 },
      encryption: options.encryption ?? true,
      keyId: (options.encryption ?? true) ? keyId : null,
      status: 'active',
    },
  });
  await prisma.chain.create({
    data: { id: chainId, policyId, serverId, slotName: `tidemark_${chainId.slice(4)}`, archiveWanted: true },
  });
  await prisma.attachment.create({
    data: {
      id: newId('attachment'),
      policyId,
      databaseId: made.database.id,
      chainId,
      activeKey: made.database.id,
      status: 'active',
      pitrStatus: 'active',
    },
  });
  const workflowId = archiveWorkflowId(policyId, serverId);
  const destination = openDestination(stack.store.config(made.bucket));
  const openKey = masterKeyOpener(stack.context.masterKey);

  const chain = () => prisma.chain.findUniqueOrThrow({ where: { id: chainId } });
  const slices = (epoch: number) =>
    prisma.logSlice.findMany({
      where: { chainId, epoch, supersededAt: null },
      orderBy: { fromSeq: 'asc' },
    });

  return {
    ...made,
    chainId,
    policyId,
    serverId,
    connection,
    workflowId,
    chain,
    slices,
    /** Starts the entity, or wakes it. */
    wake: () =>
      stack.temporal.client.workflow.signalWithStart(workflowTypes.archive, {
        workflowId,
        taskQueue: taskQueues.control,
        args: [{ chainId, labels: { serverName: 'source', policyName: 'policy' } }],
        signal: wakeSignal,
      }),
    /** Takes a full or incremental of the server through its chain and waits for it. */
    async takeBackup(kind: 'full' | 'incremental') {
      const { userId: requestedBy } = stack.admin;
      const claimed = await claimChainRun(stack.catalog, { chainId, kind, trigger: 'manual', requestedBy });
      await stack.temporal.client.workflow.signalWithStart(workflowTypes.chain, {
        workflowId: chainWorkflowId(policyId, serverId),
        taskQueue: taskQueues.control,
        args: [{ chainId, labels: { serverName: 'source', policyName: 'policy' } }],
        signal: wakeSignal,
      });
      const row = await settledBackup(stack, claimed.backupId ?? '', 180_000);
      expect(row).toMatchObject({ status: 'completed', kind, error: null });
      return row;
    },
    /** Restores a point of the archived database under another name, on the same server. */
    restorePoint: (point: RestorePoint) => restorePoint(stack, made.database.id, point),
    /** Waits until everything that is committed now is durable in the store. */
    async caughtUp(timeoutMs = 90_000): Promise<void> {
      // The source runs on this machine; the engine's own answer may be of a moment before.
      const now = Date.now();
      await until(async () => ((await chain()).coveredTo?.getTime() ?? 0) >= now, 'the log to be covered', timeoutMs);
    },
    /** Puts every stored slice of an epoch together, verified; the files' names and how many bytes of each are stored. */
    async assemble(epoch: number, dir: string) {
      const place = { destination, serverId, policyId, epoch };
      const records = await readRecords({ place, openKey, signal }, await slices(epoch));
      return await assembleLogFiles({ place, slices: records, openKey, dir, signal });
    },
    /** Compares assembled log files with those that the server still has; returns how much was equal. */
    compareWithServer(dir: string, files: readonly { name: string; bytes: number }[]): number {
      if (source.engine !== 'postgresql') return compareBinlogs(source, dir, files);
      const wal = join(source.engineDataDir, 'pg_wal');
      const there = new Set(readdirSync(wal));
      let equal = 0;
      for (const { name, bytes } of files) {
        if (!there.has(name)) continue;
        const mine = readFileSync(join(dir, name));
        const theirs = readFileSync(join(wal, name)).subarray(0, bytes);
        if (!mine.equals(theirs)) throw new Error(`${name} differs from the server's own`);
        equal += bytes;
      }
      return equal;
    },
  };
}
