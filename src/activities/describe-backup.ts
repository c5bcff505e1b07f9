import type { BackupRun } from '../catalog/runs/backup-run.js';
import { countContent } from '../domain/fingerprint.js';
import type { DatabaseConnection, DumpSession } from '../engines/engine.js';
import { encryptionSuite } from '../keys/encryption-sdk.js';
import type { TakenDump } from '../recovery/take-dump.js';
import { FINGERPRINT_NAME } from '../recovery/take-dump.js';
import type { ManifestContent } from '../storage/write-manifest.js';
import type { BackupAttempt } from '../workflows/activity-types.js';
import type { ActivityDeps } from './deps.js';
import type { BackupKeys } from './open-run.js';

/** Everything that a manifest says about a dump. Host and database name are facts about the backup; credentials are not, and stay out. */
export function describeBackup(input: {
  deps: ActivityDeps;
  run: BackupRun;
  attempt: BackupAttempt;
  session: DumpSession;
  connection: DatabaseConnection;
  keys: BackupKeys;
  taken: TakenDump;
  startedAt: Date;
}): ManifestContent {
  const { deps, run, attempt, session, connection, keys, taken } = input;
  const content = taken.fingerprint === null ? null : countContent(taken.fingerprint);
  return {
    format: 'tidemark-manifest-1',
    installationId: deps.installationId,
    backupId: run.id,
    attemptId: attempt.attemptId,
    databaseId: run.databaseId,
    planId: run.planId,
    kind: 'dump',
    parentId: null,
    label: run.label,
    source: { ...session.server, host: connection.host, port: connection.port, database: connection.database },
    toolVersion: `tidemark ${deps.options.version}`,
    startedAt: input.startedAt.toISOString(),
    takenAt: session.takenAt,
    completedAt: new Date().toISOString(),
    // A dump is of one moment: it begins and ends at the snapshot.
    startPosition: session.position,
    endPosition: session.position,
    artifacts: [...taken.artifacts],
    fingerprint: content === null ? null : { artifact: FINGERPRINT_NAME, ...content },
    fingerprintUnavailable: session.fingerprintUnavailable,
    encryption:
      keys.encryption === null ? null : { suite: encryptionSuite, keyId: keys.encryption.id, sealedKey: keys.sealed },
  };
}
