import type { BackupRun } from '../catalog/runs/backup-run.js';
import { countContent } from '../domain/fingerprint.js';
import type { ServerIdentity } from '../domain/positions.js';
import type { DatabaseConnection, DumpSession } from '../engines/engine.js';
import { encryptionSuite } from '../keys/encryption-sdk.js';
import type { TakenDump } from '../recovery/take-dump.js';
import { FINGERPRINT_NAME } from '../recovery/take-dump.js';
import type { ManifestContent } from '../storage/write-manifest.js';
import type { BackupAttempt } from '../workflows/activity-types.js';
import type { ActivityDeps } from './deps.js';
import type { BackupKeys } from './open-run.js';

type DescribedAttempt = {
  readonly deps: ActivityDeps;
  readonly run: BackupRun;
  readonly attempt: BackupAttempt;
  readonly keys: BackupKeys;
  readonly startedAt: Date;
};

/** What a manifest says whatever kind of backup it is of. Host and database name are facts about the backup; credentials are not, and stay out. */
export function describeAttempt(
  { deps, run, attempt, keys, startedAt }: DescribedAttempt,
  server: ServerIdentity,
  connection: DatabaseConnection,
) {
  return {
    format: 'tidemark-manifest-1',
    installationId: deps.installationId,
    backupId: run.id,
    attemptId: attempt.attemptId,
    databaseId: run.databaseId,
    planId: run.planId,
    label: run.label,
    about: { trigger: run.trigger, databaseName: run.database.name, planName: run.plan?.name ?? null },
    source: { ...server, host: connection.host, port: connection.port, database: connection.database },
    toolVersion: `tidemark ${deps.options.version}`,
    startedAt: startedAt.toISOString(),
    completedAt: new Date().toISOString(),
    encryption:
      keys.encryption === null ? null : { suite: encryptionSuite, keyId: keys.encryption.id, sealedKey: keys.sealed },
  } as const satisfies Partial<ManifestContent>;
}

/** Everything that a manifest says about a dump. */
export function describeBackup(
  input: DescribedAttempt & {
    readonly session: DumpSession;
    readonly connection: DatabaseConnection;
    readonly taken: TakenDump;
  },
): ManifestContent {
  const { session, connection, taken } = input;
  const content = taken.fingerprint === null ? null : countContent(taken.fingerprint);
  return {
    ...describeAttempt(input, session.server, connection),
    kind: 'dump',
    parentId: null,
    takenAt: session.takenAt,
    // A dump is of one moment: it begins and ends at the snapshot.
    startPosition: session.position,
    endPosition: session.position,
    artifacts: [...taken.artifacts],
    fingerprint: content === null ? null : { artifact: FINGERPRINT_NAME, ...content },
    fingerprintUnavailable: session.fingerprintUnavailable,
  };
}
