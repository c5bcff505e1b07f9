/** A policy with one server's chain as rows of the catalog, for tests of what is decided from rows. */
import { newId } from '../../src/domain/ids.js';
import type { Principal, UsecaseContext } from '../../src/usecases/context.js';

export type ChainRows = {
  readonly policyId: string;
  readonly serverId: string;
  readonly chainId: string;
  readonly databaseIds: readonly string[];
  readonly destinationId: string;
};

export async function addPolicyRow(
  context: UsecaseContext,
  owner: Principal,
  given: {
    destinationId: string;
    pitr?: boolean;
    retention?: { fulls: number; incrementalDays: number; pitrHours: number };
  },
): Promise<string> {
  const id = newId('policy');
  await context.catalog.prisma.policy.create({
    data: {
      id,
      name: `policy ${id.slice(-4)}`,
      ownerId: owner.userId,
      destinationId: given.destinationId,
      schedule: { full: { frequency: 'daily', time: '02:00' }, incremental: '4h' },
      pitr: given.pitr ?? true,
      retention: given.retention ?? {},
      encryption: false,
      status: 'active',
      credentialsVerifiedAt: new Date(),
    },
  });
  return id;
}

/** A server under the policy, with these databases attached. */
export async function addChainRow(
  context: UsecaseContext,
  given: { policyId: string; destinationId: string; databaseIds: readonly string[] },
): Promise<ChainRows> {
  const { prisma } = context.catalog;
  const { policyId, databaseIds } = given;
  const serverId = newId('server');
  const chainId = newId('chain');
  const about = { engine: 'postgresql', version: '17.0', major: '17' };
  await prisma.server.create({ data: { id: serverId, identity: `pg:${serverId}`, ...about } });
  await prisma.chain.create({ data: { id: chainId, policyId, serverId, slotName: chainId } });
  for (const databaseId of databaseIds) {
    await prisma.attachment.create({
      data: {
        id: newId('attachment'),
        ...{ policyId, databaseId, chainId },
        activeKey: databaseId,
        status: 'active',
        pitrStatus: 'active',
      },
    });
  }
  return { ...given, serverId, chainId };
}

/** A run of the chain that has its result. */
export async function addChainRun(
  context: UsecaseContext,
  chain: ChainRows,
  given: {
    status: 'completed' | 'failed' | 'skipped' | 'cancelled';
    at: Date;
    kind?: 'full' | 'incremental';
    parentId?: string;
    epoch?: number;
    position?: object;
  },
): Promise<string> {
  const id = newId('backup');
  const { chainId, policyId, serverId, destinationId, databaseIds } = chain;
  const { at, kind = 'full', status, parentId = null, epoch = null, position = {} } = given;
  await context.catalog.prisma.backup.create({
    data: {
      ...{ id, kind, status, chainId, policyId, serverId, destinationId, parentId, epoch, position },
      databaseId: databaseIds[0] ?? '',
      trigger: 'schedule',
      fencingToken: 1,
      bytes: 1000n,
      storedBytes: 100n,
      completedAt: at,
      ...(status === 'completed' ? { takenAt: at, startPosition: position } : {}),
      ...(status === 'completed' ? {} : { error: { code: 'dump_failed', message: 'The disk of the source is full.' } }),
    },
  });
  return id;
}

/** A stored slice of a chain's log: WAL from one LSN to another. */
export async function addSliceRow(
  context: UsecaseContext,
  chainId: string,
  given: { epoch: number; seq: number; from: string; to: string; coversTo?: Date },
): Promise<string> {
  const { epoch, seq, from, to, coversTo = null } = given;
  const id = newId('slice');
  await context.catalog.prisma.logSlice.create({
    data: {
      ...{ id, chainId, epoch, fromSeq: seq, seq, file: `file${seq}`, coversTo },
      ...{ offset: 0n, bytes: 100n, storedBytes: 50n, endsFile: true, sha256: '', previous: null, recordSha256: '' },
      ...{ startPosition: { lsn: from }, endPosition: { lsn: to }, recordKey: `${id}.json`, objectKey: id },
    },
  });
  return id;
}
