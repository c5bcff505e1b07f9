import { readArchiveRun } from '../../catalog/runs/archive-run.js';
import { findLastSource, identityOf } from '../../catalog/runs/chain-run.js';
import { rememberServer } from '../../catalog/runs/checks.js';
import { noteEvent } from '../../catalog/runs/note-event.js';
import type { EngineKind } from '../../domain/engine-kinds.js';
import { isTidemarkError, TidemarkError } from '../../domain/errors.js';
import { isSameServer } from '../../domain/same-server.js';
import type { ServerBackupSession } from '../../engines/chain-engine.js';
import { getChainEngine } from '../../engines/chain-registry.js';
import { takeServerBackup as take } from '../../recovery/take-server-backup.js';
import { attemptPrefix, backupOwner } from '../../storage/layout.js';
import type { Activities, BackupSummary } from '../../workflows/activity-types.js';
import { placeInStore, takeoverOfServer } from '../archive/place-in-store.js';
import type { ActivityDeps } from '../deps.js';
import { pausingServerSession } from '../faults.js';
import { engineContext } from '../open-run.js';
import type { OpenedAttempt } from '../run-attempt.js';
import { publishAttempt, removeWritten, runAttempt } from '../run-attempt.js';
import type { ChainWork } from './chain-work.js';
import { noteFacts } from './chain-work.js';
import type { ChosenParent } from './choose-parent.js';
import { chooseParent } from './choose-parent.js';
import { describeServerBackup } from './describe-server-backup.js';
import type { BackupSource } from './find-source.js';
import { findSources } from './find-source.js';
import { takeLogIncremental } from './take-log-incremental.js';

/** One attempt of a full or incremental of a chain's server, from finding its source to the published manifest. */
export function takeServerBackup(deps: ActivityDeps): Activities['takeServerBackup'] {
  return (input) => runAttempt(deps, 'server-backup', input, takeOrFallBack);
}

/** An incremental for which the condition is not given becomes a full, recorded and said; the next due one builds on that. */
async function takeOrFallBack(opened: OpenedAttempt): Promise<BackupSummary> {
  const { deps, run, step } = opened;
  const chain = await readArchiveRun(deps.catalog, run.chainId ?? '');
  const epoch = chain.archiveWanted ? chain.archiveEpoch : null;
  const work: ChainWork = { ...opened, chain, epoch };
  // Known from the beginning: a full that is under way when the log breaks is of the old stretch.
  await noteFacts(work, { epoch });
  if (run.kind !== 'incremental') return await takeFromSources(work, null);
  try {
    if (getChainEngine(chain.server.engine as EngineKind).incrementalKind(identityOf(chain.server)) === 'log') {
      return await takeLogIncremental(work);
    }
    const parent = await chooseParent(work, chain.id, epoch);
    await noteFacts(work, { parentId: parent.backupId });
    return await takeFromSources(work, parent);
  } catch (error) {
    if (!isTidemarkError(error) || error.code !== 'incremental_impossible') throw error;
    deps.logger.warn({ backupId: run.id, reason: error.message }, 'a full is taken instead of an incremental');
    const fellBack = { code: error.code, message: error.message };
    await noteFacts(work, { kind: 'full', fellBack, parentId: null });
    await removeWritten(work, step.signal);
    return await takeFromSources({ ...work, run: { ...run, kind: 'full' } }, null);
  }
}

/** From a replica where one is fit, else from the primary. What a replica refuses or breaks off is taken from the primary. */
async function takeFromSources(work: ChainWork, parent: ChosenParent | null): Promise<BackupSummary> {
  const { deps, step, chain, attempt } = work;
  const sources = await findSources(deps, step, chain, { replicas: attempt.number === 1 });
  for (const [index, source] of sources.entries()) {
    try {
      return await takeFrom(work, source, parent);
    } catch (error) {
      const isLast = index === sources.length - 1;
      if (isLast || step.signal.aborted || !isTidemarkError(error) || error.code === 'fenced') throw error;
      deps.logger.warn({ err: error, backupId: work.run.id }, 'the replica failed; the primary is read instead');
      await removeWritten(work, step.signal);
    }
  }
  throw new TidemarkError('internal', 'No source was tried.');
}

async function takeFrom(work: ChainWork, source: BackupSource, parent: ChosenParent | null): Promise<BackupSummary> {
  const { deps, step, run, attempt, destination, keys, meter } = work;
  const { engine, connection, database, primary } = source;
  const context = engineContext(deps, step);
  meter.enter(`connecting to ${database.name}`);
  const label = run.label ?? `tidemark ${run.id}`;
  const opened =
    parent === null
      ? await engine.openFull(connection, context, { label, fingerprint: true, ...(primary ? { primary } : {}) })
      : await engine.openIncremental(connection, context, { label, parent });
  const session = pausingServerSession(opened, deps.faults, step.signal);
  try {
    await assertServer(work, session, source);
    const takeover = await takeoverOfServer(work, session.server);
    await noteFacts(work, { sourceDatabaseId: database.id === run.databaseId ? null : database.id });
    await tellSourceChange(work, source);
    await deps.faults.reach('backup-opened', step.signal);
    meter.enter(parent === null ? 'copying' : 'copying changes', session.estimatedBytes);
    const taken = await take({
      session,
      destination,
      keyPrefix: attemptPrefix(backupOwner(run), run.id, attempt.attemptId),
      key: keys.encryption,
      context: { installation: deps.installationId, backup: run.id },
      signal: step.signal,
      onBytes: (bytes) => meter.set(bytes),
    });
    if ((await takeoverOfServer(work, session.server)) !== takeover)
      throw new TidemarkError(
        'source_changed_during_dump',
        `While it was backed up, another server took the place of ${session.server.identity}.`,
        { object: database.id },
      );
    const { startPosition, endPosition } = taken.result;
    const result = {
      ...taken.result,
      startPosition: placeInStore(startPosition, takeover),
      endPosition: placeInStore(endPosition, takeover),
    };
    const describe = () => describeServerBackup({ ...work, session, connection, taken: { ...taken, result }, parent });
    return await publishAttempt(work, describe, session.estimatedBytes);
  } finally {
    await session.close();
  }
}

/** A chain holds one server: another one under the same address gets no backup into it. */
async function assertServer({ deps, chain }: ChainWork, session: ServerBackupSession, source: BackupSource) {
  if (!source.successor && !isSameServer(session.server.identity, chain.server.identity)) {
    const { host, port, id } = source.database;
    throw new TidemarkError(
      'server_identity_changed',
      `At ${host}:${port} answers ${session.server.identity}; this chain is of ${chain.server.identity}. Check the database to accept the new server, and attach it again.`,
      { object: id },
    );
  }
  await rememberServer(deps.catalog, session.server);
}

/** Backups that are suddenly read elsewhere are an event: a fail-over shows here first. */
async function tellSourceChange({ deps, run, chain }: ChainWork, { database }: BackupSource): Promise<void> {
  const before = await findLastSource(deps.catalog, chain.id);
  if (before === null || before === database.id) return;
  const places = [database, ...chain.attachments.flatMap((one) => [one.database, ...one.database.replicas])];
  const former = places.find(({ id }) => id === before);
  // Two databases of one server are one source.
  if (former?.host === database.host && former.port === database.port) return;
  await noteEvent(deps.catalog, {
    event: 'source_changed',
    dedupeKey: `source_changed/backup/${run.id}/${database.id}`,
    policyId: chain.policyId,
    databaseId: run.databaseId,
    backupId: run.id,
    what: `The ${run.kind} ${run.id} of ${chain.server.identity} is read from ${database.name} (${database.host}:${database.port}).`,
    why: `Backups before it were read from ${former === undefined ? before : `${former.name} (${former.host}:${former.port})`}. A registered replica that follows closely is preferred; when none does, the primary is read.`,
    nextStep: 'Nothing, when that is what you intended; else see the state of the replica.',
  });
}
