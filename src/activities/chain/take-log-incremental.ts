import { setTimeout as sleep } from 'node:timers/promises';
import { listPlanSlices } from '../../catalog/runs/slices.js';
import { compareLogPositions } from '../../domain/compare-positions.js';
import { TidemarkError } from '../../domain/errors.js';
import type { LogPosition } from '../../domain/positions.js';
import { isSameServer } from '../../domain/same-server.js';
import type { BackupSummary } from '../../workflows/activity-types.js';
import { chooseSource } from '../archive/choose-source.js';
import { placeInStore, takeoverOfServer } from '../archive/place-in-store.js';
import { engineContext } from '../open-run.js';
import { publishAttempt } from '../run-attempt.js';
import type { ChainWork } from './chain-work.js';
import { noteFacts } from './chain-work.js';
import { chooseParent } from './choose-parent.js';
import { describeLogIncremental } from './describe-server-backup.js';

/** The archive gets this long to store what the source had when the incremental began. */
const ARCHIVE_MS = 10 * 60_000;
const LOOK_MS = 1_000;

/**
 * An incremental where the engine has none of its own: the stored log from the parent to the end that the source has now. Reads no data.
 * Throws `not_supported` without PITR, `incremental_impossible` when there is no parent or the log has a gap, `connection_lost` when the
 * archive does not come so far in time.
 */
export async function takeLogIncremental(work: ChainWork): Promise<BackupSummary> {
  const { deps, step, chain, epoch, meter } = work;
  if (epoch === null) {
    throw new TidemarkError(
      'not_supported',
      `Incrementals of ${chain.server.engine} ${chain.server.major} are made of the archived log, and the policy ${chain.policy.name} archives none. Turn on PITR, or take fulls only.`,
      { object: chain.policyId },
    );
  }
  const parent = await chooseParent(work, chain.id, epoch);
  await noteFacts(work, { parentId: parent.backupId });
  const { connection, engine, successor } = await chooseSource(deps, step, chain);
  const told = await engine.readLogEnd(connection, engineContext(deps, step));
  const end = { ...told, position: placeInStore(told.position, await takeoverOfServer(work, told.server)) };
  if (!successor && !isSameServer(end.server.identity, chain.server.identity)) {
    throw new TidemarkError(
      'server_identity_changed',
      `${connection.host}:${connection.port} is ${end.server.identity} now; this chain is of ${chain.server.identity}.`,
    );
  }
  meter.enter('waiting for the log archive');
  await waitForArchive(work, epoch, end.clock);
  const range = await findRange(work, epoch, parent.endPosition, end.position);
  const { server } = end;
  const describe = () => describeLogIncremental({ ...work, server, connection, parent, end, range });
  return await publishAttempt(work, describe, null);
}

/** Until everything that was committed before `clock` is stored. */
async function waitForArchive({ deps, step, chain }: ChainWork, epoch: number, clock: string): Promise<void> {
  const end = Date.now() + ARCHIVE_MS;
  for (;;) {
    const now = await deps.catalog.prisma.chain.findUniqueOrThrow({ where: { id: chain.id } });
    if (now.archiveEpoch !== epoch || !now.archiveWanted) {
      throw new TidemarkError(
        'incremental_impossible',
        'An incremental backup is not possible: the log archive was broken off meanwhile.',
      );
    }
    if (now.coveredTo !== null && now.coveredTo >= new Date(clock)) return;
    if (Date.now() > end) {
      const covered = now.coveredTo === null ? 'nothing' : `what was committed before ${now.coveredTo.toISOString()}`;
      throw new TidemarkError(
        'connection_lost',
        `The log archive of ${chain.server.identity} holds ${covered}, not yet what was committed before ${clock}. Its state is ${now.archiveStatus}.`,
        { object: chain.id },
      );
    }
    await sleep(LOOK_MS, undefined, { signal: step.signal });
  }
}

/** The numbers of the slices that hold the log from one position to another. */
async function findRange({ deps, chain }: ChainWork, epoch: number, from: LogPosition, to: LogPosition) {
  const slices = (await listPlanSlices(deps.catalog, chain.id)).filter((slice) => slice.epoch === epoch);
  const first = slices.find((slice) => compareLogPositions(slice.endPosition, from) > 0) ?? slices.at(-1);
  const last = slices.find((slice) => compareLogPositions(slice.endPosition, to) >= 0) ?? slices.at(-1);
  if (first === undefined || last === undefined || compareLogPositions(last.endPosition, to) < 0) {
    throw new TidemarkError(
      'incremental_impossible',
      'An incremental backup is not possible: the log archive does not hold the log since the parent.',
    );
  }
  return { epoch, fromSeq: Math.min(first.fromSeq, last.fromSeq), toSeq: last.seq };
}
