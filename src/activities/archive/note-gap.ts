import type { ArchiveRun, NotedGap } from '../../catalog/runs/archive-run.js';
import { insertGap, readArchiveRun } from '../../catalog/runs/archive-run.js';
import type { ChainClaim } from '../../catalog/runs/claim-chain.js';
import { claimChainRun } from '../../catalog/runs/claim-chain.js';
import { noteEvent } from '../../catalog/runs/note-event.js';
import { positionText } from '../../domain/positions.js';
import type { Activities } from '../../workflows/activity-types.js';
import type { ActivityDeps } from '../deps.js';
import type { DatabaseRow } from '../open-run.js';
import { runShort } from '../run-step.js';

/**
 * A part of the log is lost: PITR goes to `error` with the exact range, people are told, the next epoch begins, and a full is queued at
 * once, with which the window begins anew.
 */
export function noteGap(deps: ActivityDeps): Activities['noteGap'] {
  return ({ chainId, error, from = null, to }) =>
    runShort(deps, 'note-gap', async () => {
      const gap = await insertGap(deps.catalog, chainId, error, { from, to });
      if (gap === null) return { noted: false, backupId: null };
      const chain = await readArchiveRun(deps.catalog, chainId);
      const claimed = await claimChainRun(deps.catalog, {
        chainId,
        kind: 'full',
        trigger: 'schedule',
        // Asked again after a crash, the same gap gets the same full.
        scheduledFor: gap.notedAt,
      });
      for (const { databaseId, database } of chain.attachments) {
        await noteEvent(deps.catalog, {
          event: 'pitr_gap',
          dedupeKey: `pitr_gap/${gap.gapId}/${databaseId}`,
          policyId: gap.policyId,
          databaseId,
          what: `Point-in-time recovery of ${database.name} has a gap: the log archive of ${chain.server.identity} under the policy ${chain.policy.name} lacks the log ${rangeOf(gap)}. Nothing can be restored to a moment inside it.`,
          why: error.message,
          nextStep: stepAfter(gap, claimed),
        });
      }
      return { noted: gap.isNew, backupId: claimed.backupId };
    });
}

function rangeOf({ from, fromPosition, toPosition }: NotedGap): string {
  const time = from === null ? '' : ` (covered up to ${from.toISOString()})`;
  const begin = fromPosition === null ? `from an unknown place${time}` : `from ${positionText(fromPosition)}${time}`;
  return `${begin} ${toPosition === null ? 'on' : `to ${positionText(toPosition)}`}`;
}

function stepAfter({ from }: NotedGap, claimed: ChainClaim): string {
  const full =
    claimed.state === 'claimed'
      ? `The full ${claimed.backupId} was queued; the recovery window begins anew with it.`
      : `No full could be queued (${claimed.reason}) Take one: the recovery window begins anew with it.`;
  const kept = from === null ? '' : ` Moments up to ${from.toISOString()} stay restorable.`;
  return `${full}${kept} Remove the cause; where the server dropped its log, let it keep more.`;
}

/** The log is followed on another server from now on. */
export async function noteSourceChange(deps: ActivityDeps, chain: ArchiveRun, to: DatabaseRow): Promise<void> {
  for (const { databaseId } of chain.attachments) {
    await noteEvent(deps.catalog, {
      event: 'source_changed',
      dedupeKey: `source_changed/archive/${chain.id}/${to.id}/${chain.archiveToken}/${databaseId}`,
      policyId: chain.policyId,
      databaseId,
      what: `The log of ${chain.server.identity} is now archived from ${to.name} (${to.host}:${to.port}).`,
      why: 'The former source does not answer, and this registered replica says that it was promoted.',
      nextStep: 'Check that this is what you intended, and correct the registered addresses.',
    });
  }
}
