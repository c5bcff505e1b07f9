import type { ArchiveRun } from '../../catalog/runs/archive-run.js';
import {
  assertHoldsArchive,
  noteArchiveSeen,
  raiseArchiveToken,
  readArchiveRun,
  writeArchiveFacts,
} from '../../catalog/runs/archive-run.js';
import { insertSlices } from '../../catalog/runs/slices.js';
import { isTidemarkError, TidemarkError } from '../../domain/errors.js';
import type { LogPosition } from '../../domain/positions.js';
import { isSameServer } from '../../domain/same-server.js';
import { ARCHIVE_SEEN_EVERY_MS } from '../../domain/statuses.js';
import type { LogFollower } from '../../engines/log-follower.js';
import { followLog as follow } from '../../recovery/follow-log.js';
import type { LogStore } from '../../recovery/resume-log.js';
import { claimDestination } from '../../storage/owner.js';
import type { SliceKeys } from '../../storage/slice-record.js';
import type { Activities, FollowResult, RunError } from '../../workflows/activity-types.js';
import { assertMounted } from '../assert-mounted.js';
import type { ActivityDeps } from '../deps.js';
import { connectionOf, engineContext, keyOpener, keysOf, openStore } from '../open-run.js';
import type { Step } from '../run-step.js';
import { runStep } from '../run-step.js';
import type { ArchiveSource } from './choose-source.js';
import { chooseSource, replicasOf } from './choose-source.js';
import { claimSpool } from './claim-spool.js';
import { dropSuperseded } from './drop-superseded.js';
import { noteSourceChange } from './note-gap.js';
import { noteStall, Pace } from './note-stall.js';
import type { StoredEnd } from './read-stored.js';
import { readStored } from './read-stored.js';
import { leaveFormerSource } from './release-source.js';
import { rowOf } from './slice-row.js';

/** A follower ends by itself after this long, so that the workflow can begin a new history. */
const ROTATE_MS = 6 * 3_600_000;
/** Space for what was received and not yet stored, per chain. */
const SPOOL_LIMIT = 4 * 1024 ** 3;
/** A slice is small and sent again by the next follower: an outage of the store is to be seen, not to be sat out as in a dump of hours. */
const STORE_PATIENCE_MS = 10_000;
/** A receiver that does not reach the source for this long is shown as an error; where there are replicas, one may have been promoted. */
const SILENT_MS = 20_000;
const SWITCH_MS = 60_000;
/** How often superseded slices are looked for; and replicas are told what is stored, people that nothing is. */
const TIDY_MS = 5 * 60_000;
const HOLD_MS = 60_000;

type Following = {
  readonly deps: ActivityDeps;
  readonly step: Step;
  readonly chain: ArchiveRun;
  readonly epoch: number;
  readonly token: number;
  readonly store: LogStore;
  readonly keys: SliceKeys;
};

/** Follows the log of a chain's server into its destination, until it is told to stop or something is in the way. */
export function followLog(deps: ActivityDeps): Activities['followLog'] {
  return ({ chainId }) =>
    runStep(deps, 'follow-log', async (step) => {
      const { token, epoch } = await raiseArchiveToken(deps.catalog, chainId);
      const chain = await readArchiveRun(deps.catalog, chainId);
      await writeArchiveFacts(deps.catalog, chainId, token, { archiveStatus: 'starting' });
      const destination = await openStore(deps, chain.policy.destination, { patienceMs: STORE_PATIENCE_MS });
      const rotation = AbortSignal.timeout(ROTATE_MS);
      const signal = AbortSignal.any([step.signal, rotation]);
      const living = setInterval(() => sayAlive(deps, chainId, token), ARCHIVE_SEEN_EVERY_MS);
      try {
        await assertMounted(deps, chain.policy.destination, destination, signal);
        await claimDestination({ destination, installationId: deps.installationId, signal });
        const place = { destination, serverId: chain.serverId, policyId: chain.policyId, epoch };
        const keys = await keysOf(deps, chain.policy);
        const store = { place, openKey: keyOpener(deps), signal };
        return await runFollower({ deps, step: { ...step, signal }, chain, epoch, token, store, keys });
      } catch (error) {
        if (isTidemarkError(error) && error.code === 'log_gap' && !signal.aborted) return gapOf(error);
        if (rotation.aborted && !step.signal.aborted) return { ended: 'rotated' };
        throw error;
      } finally {
        clearInterval(living);
        destination.close();
      }
    });
}

/** By a timer, as heartbeats are: also while the store's end is read or the source is slow to answer. */
function sayAlive(deps: ActivityDeps, chainId: string, token: number): void {
  noteArchiveSeen(deps.catalog, chainId, token).catch((error: unknown) =>
    deps.logger.warn({ err: error, chainId }, 'that the log is followed was not noted'),
  );
}

function gapOf(error: TidemarkError): FollowResult {
  const { gap } = error.details;
  const { code, message } = error;
  return { ended: 'gap', error: { code, message }, from: gap?.from ?? null, to: gap?.to ?? null };
}

async function runFollower(work: Following): Promise<FollowResult> {
  const { deps, step, chain, token } = work;
  const stored = await readStored(work);
  const source = await chooseSource(deps, step, chain);
  await writeArchiveFacts(deps.catalog, chain.id, token, { sourceDatabaseId: source.database.id });
  if (source.promoted) await noteSourceChange(deps, chain, source.database);
  await leaveFormerSource(deps, chain, source.database);
  const spool = claimSpool(deps.options.spoolRoot, chain.id);
  try {
    const follower = await source.engine.openFollower(source.connection, engineContext(deps, step), {
      spoolDir: spool.dir,
      slot: chain.slotName,
      resume: stored.resume,
      spoolLimitBytes: SPOOL_LIMIT,
      // Also a former primary that is the source again, and holds what its successor wrote meanwhile.
      successor: source.successor || isOfAnother(chain, stored),
      assertMayHold: () => assertHoldsArchive(deps.catalog, chain.id, token),
    });
    try {
      return await followUntilEnd(work, source, follower, stored);
    } finally {
      await follower.close();
    }
  } catch (error) {
    throw withDamage(error, stored);
  } finally {
    spool.release();
  }
}

/** Whether the newest of the stored log is of another server than the one that the chain was made for. */
const isOfAnother = ({ server }: ArchiveRun, { resume }: StoredEnd): boolean =>
  resume !== null && !isSameServer(resume.server.identity, server.identity);

/** What the source has not got any more is a gap, and the reason for it is what was damaged. */
function withDamage(error: unknown, { damage }: StoredEnd): unknown {
  if (damage === null || !isTidemarkError(error) || error.code !== 'log_gap') return error;
  return new TidemarkError(
    'log_gap',
    `The end of the stored log is damaged (${damage.message}), and the source cannot send it again. ${error.message}`,
    { ...error.details, object: damage.recordKey },
    { cause: error },
  );
}

async function followUntilEnd(
  work: Following,
  source: ArchiveSource,
  follower: LogFollower,
  stored: StoredEnd,
): Promise<FollowResult> {
  const { deps, step, chain, epoch, token, store, keys } = work;
  const { catalog, faults, logger } = deps;
  const watch = new Watch(work, source);
  watch.stored = stored.last?.record.endPosition ?? null;
  await follow({
    follower,
    store,
    keys,
    installationId: deps.installationId,
    chainId: chain.id,
    last: stored.last,
    taken: stored.taken,
    small: stored.small,
    readEnd: async () => {
      const { clock, position } = await source.engine.readLogEnd(source.connection, engineContext(deps, step));
      return { clock, position: follower.inStore?.(position) ?? position };
    },
    comparePositions: (a, b) => source.engine.comparePositions(a, b),
    assertMayPublish: () => assertHoldsArchive(catalog, chain.id, token),
    onDurable: async (slice) => {
      await faults.reach('slice-stored', step.signal);
      await insertSlices(catalog, { chainId: chain.id, epoch, token }, [rowOf(slice)]);
      await faults.reach('slice-noted', step.signal);
      watch.stored = slice.record.endPosition;
      // What was damaged is replaced: a later gap has another cause.
      stored.damage = null;
      step.report({ step: 'follow-log', file: slice.record.file, seq: slice.record.seq });
    },
    onCovered: async (coveredTo) => {
      watch.pace.reached(Date.now());
      await writeArchiveFacts(catalog, chain.id, token, { coveredTo });
    },
    onState: (state) => watch.look(state),
    onTrouble: (what, error) => logger.warn({ err: error, chainId: chain.id, what }, 'following goes on'),
  });
  return { ended: 'rotated' };
}

/** Shows how the receiver fares, and does the small chores of a running archive. */
class Watch {
  /** To here the log is stored. */
  stored: LogPosition | null = null;
  readonly pace = new Pace(Date.now());
  private shown: 'following' | 'error' | null = null;
  private connectedAt = Date.now();
  private readonly tidy: Chore;
  private readonly hold: Chore;
  private readonly stall: Chore;
  private readonly work: Following;

  constructor(work: Following, source: ArchiveSource) {
    this.work = work;
    const { deps, chain, store } = work;
    this.tidy = new Chore(work, TIDY_MS, 'replaced slices stay for now', () =>
      dropSuperseded(deps, chain.id, { destination: store.place.destination, signal: store.signal }),
    );
    this.stall = new Chore(work, HOLD_MS, 'a stall was not told', () =>
      noteStall(deps, chain.id, this.pace.behindSince(Date.now())),
    );
    this.hold = new Chore(work, HOLD_MS, 'a replica does not hold its log', () => this.holdReplicas(source));
  }

  async look(state: ReturnType<LogFollower['state']>): Promise<void> {
    const now = Date.now();
    this.tidy.look(now);
    this.hold.look(now);
    this.stall.look(now);
    if (state.connected) this.connectedAt = now;
    const silent = now - this.connectedAt;
    if (state.connected) await this.show('following', null);
    else if (silent > SILENT_MS) {
      const message = state.message ?? 'The receiver does not reach the source.';
      await this.show('error', { code: state.outOfSpace ? 'spool_full' : 'connection_lost', message });
      if (silent > this.work.deps.faults.waitMs('source-silent', SWITCH_MS) && replicasOf(this.work.chain).length > 0) {
        throw new TidemarkError('connection_lost', message, { object: this.work.chain.id });
      }
    }
  }

  private async show(status: 'following' | 'error', error: RunError | null): Promise<void> {
    if (this.shown === status) return;
    const { deps, chain, token } = this.work;
    await writeArchiveFacts(deps.catalog, chain.id, token, { archiveStatus: status, archiveError: error });
    this.shown = status;
  }

  /** Replicas that may take the source's place keep their log as well, as far back as the store needs it. */
  private async holdReplicas({ engine, database }: ArchiveSource): Promise<void> {
    const { deps, step, chain, token } = this.work;
    if (engine.holdLog === undefined || this.stored === null) return;
    // What a replaced follower made there would be released by nobody.
    await assertHoldsArchive(deps.catalog, chain.id, token);
    // Read anew: on one that was forgotten meanwhile nothing must be held again.
    for (const replica of replicasOf(await readArchiveRun(deps.catalog, chain.id))) {
      if (replica.id === database.id) continue;
      const connection = await connectionOf(deps, replica);
      await engine.holdLog(connection, engineContext(deps, step), { slot: chain.slotName, position: this.stored });
    }
  }
}

/** Something done now and then beside the following, which goes on whatever becomes of it. */
class Chore {
  private doneAt: number | null = null;
  private busy = false;
  private readonly work: Following;
  private readonly everyMs: number;
  private readonly failing: string;
  private readonly act: () => Promise<unknown>;

  constructor(work: Following, everyMs: number, failing: string, act: () => Promise<unknown>) {
    this.work = work;
    this.everyMs = everyMs;
    this.failing = failing;
    this.act = act;
  }

  look(now: number): void {
    if (this.busy || (this.doneAt !== null && now - this.doneAt < this.everyMs)) return;
    this.busy = true;
    this.doneAt = now;
    const { deps, chain } = this.work;
    this.act()
      .catch((error: unknown) => deps.logger.warn({ err: error, chainId: chain.id }, this.failing))
      .finally(() => {
        this.busy = false;
      });
  }
}
