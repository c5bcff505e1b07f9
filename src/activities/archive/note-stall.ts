import { readArchiveRun } from '../../catalog/runs/archive-run.js';
import { noteEvent } from '../../catalog/runs/note-event.js';
import type { ActivityDeps } from '../deps.js';

/** Shorter troubles (a restart, a deploy) are shown with the attachment and heal by themselves. */
const STALL_MS = 15 * 60_000;

/**
 * Whether a follower keeps up: how long it takes until the end of the log that the source has told is stored. By this machine's clock,
 * because the source's may be wrong; and of an idle source the end is stored at once.
 */
export class Pace {
  private reachedAt: number;
  private wellAt: number;

  constructor(now: number) {
    this.reachedAt = now;
    this.wellAt = now;
  }

  /** An end that the source told is stored. One that took too long is no sign that all is well again. */
  reached(now: number): void {
    if (now - this.reachedAt < STALL_MS) this.wellAt = now;
    this.reachedAt = now;
  }

  /** Since when it stays behind, once that is too long. */
  behindSince(now: number): Date | null {
    return now - this.wellAt < STALL_MS ? null : new Date(this.wellAt);
  }
}

/**
 * An archive that has covered nothing new for a while and is in error, or is followed and stays behind all the same: people are told, once
 * per stall. It is no gap yet; it becomes one when the source drops the log that it keeps for us, and whoever hears only then hears too
 * late.
 */
export async function noteStall(deps: ActivityDeps, chainId: string, behindSince: Date | null = null): Promise<void> {
  const { archiveWanted, archiveStatus, archiveError, coveredTo, server, policy } = await readArchiveRun(
    deps.catalog,
    chainId,
  );
  // Nothing was ever covered: attaching tells that itself.
  if (!archiveWanted || coveredTo === null) return;
  const isBroken = archiveStatus === 'error' && Date.now() - coveredTo.getTime() >= STALL_MS;
  const isBehind = archiveStatus === 'following' && behindSince !== null;
  if (!isBroken && !isBehind) return;
  const { message } = (archiveError ?? { message: 'The reason is not known.' }) as { message: string };
  await noteEvent(deps.catalog, {
    event: 'archive_stalled',
    // What is covered may move now and then and still stay behind.
    dedupeKey: `archive_stalled/${chainId}/${(isBroken ? coveredTo : (behindSince ?? coveredTo)).toISOString()}`,
    policyId: policy.id,
    what: `The log of ${server.identity} is not archived under the policy ${policy.name} since ${coveredTo.toISOString()}: later moments cannot be restored now.`,
    why: isBroken
      ? message
      : 'It is followed, but what is stored stays behind: the server does not tell where its log ends, or more is written there than is stored in the same time.',
    nextStep: `${isBroken ? 'Remove the cause; following goes on by itself' : "See the worker's log; following catches up by itself once the server answers and store and worker are fast enough"}, without a gap as long as the server still has its log. Until then the server keeps it, up to its limit.`,
  });
}
