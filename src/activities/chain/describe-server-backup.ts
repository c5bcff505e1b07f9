import type { LogPosition, ServerIdentity } from '../../domain/positions.js';
import type { ServerBackupSession } from '../../engines/chain-engine.js';
import type { DatabaseConnection } from '../../engines/engine.js';
import type { TakenServerBackup } from '../../recovery/take-server-backup.js';
import { serverFingerprintName } from '../../recovery/take-server-backup.js';
import type { ManifestContent } from '../../storage/write-manifest.js';
import { describeAttempt } from '../describe-backup.js';
import type { ChainWork } from './chain-work.js';
import type { ChosenParent } from './choose-parent.js';

/** Everything that a manifest says about a full or a physical incremental. */
export function describeServerBackup(
  input: ChainWork & {
    readonly session: ServerBackupSession;
    readonly connection: DatabaseConnection;
    readonly taken: TakenServerBackup;
    readonly parent: ChosenParent | null;
  },
): ManifestContent {
  const { session, connection, taken, parent } = input;
  const { result, content } = taken;
  return {
    ...describeAttempt(input, session.server, connection),
    kind: parent === null ? 'full' : 'incremental',
    parentId: parent?.backupId ?? null,
    chain: {
      ...chainOf(input),
      incremental: parent === null ? null : 'physical',
      databases: [...session.databases],
      cluster: { ...result.cluster },
      sourceRole: session.sourceRole,
    },
    takenAt: result.takenAt,
    startPosition: result.startPosition,
    endPosition: result.endPosition,
    artifacts: [...taken.artifacts],
    fingerprint: content === null ? null : { artifact: serverFingerprintName(0), ...content },
    fingerprintUnavailable: session.fingerprintUnavailable,
  };
}

/** A range of the stored log, under the name of a backup: it has no objects of its own. */
export function describeLogIncremental(
  input: ChainWork & {
    readonly server: ServerIdentity;
    readonly connection: DatabaseConnection;
    readonly parent: ChosenParent;
    readonly end: { readonly clock: string; readonly position: LogPosition };
    readonly range: { readonly epoch: number; readonly fromSeq: number; readonly toSeq: number };
  },
): ManifestContent {
  const { server, connection, parent, end, range } = input;
  return {
    ...describeAttempt(input, server, connection),
    kind: 'incremental',
    parentId: parent.backupId,
    chain: {
      ...chainOf(input),
      incremental: 'log',
      databases: [...(parent.manifest.chain?.databases ?? [])],
      cluster: { epoch: String(range.epoch), fromSeq: String(range.fromSeq), toSeq: String(range.toSeq) },
      sourceRole: 'primary',
    },
    takenAt: end.clock,
    startPosition: parent.endPosition,
    endPosition: end.position,
    artifacts: [],
    fingerprint: null,
    fingerprintUnavailable: 'It is a range of the log archive, and reads nothing of the databases.',
  };
}

function chainOf({ chain, epoch }: ChainWork) {
  return {
    serverId: chain.serverId,
    policyId: chain.policyId,
    chainId: chain.id,
    epoch,
    policyName: chain.policy.name,
    attached: chain.attachments.map(({ databaseId, database }) => ({
      databaseId,
      name: database.name,
      database: database.database,
    })),
  };
}
