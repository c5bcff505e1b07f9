import { readArchiveRun } from '../../catalog/runs/archive-run.js';
import { noteEvent } from '../../catalog/runs/note-event.js';
import type { ActivityDeps } from '../deps.js';

/** Shorter troubles (a restart, a deploy) are shown with the attachment and heal by themselves. */
const STALL_MS = 15 * 60_000;

/**
 * An archive that has covered nothing new for a while and is in error: people are told, once per stall. It is no gap yet; it becomes one
 * when the source drops the log that it keeps for us, and whoever hears only then hears too late.
 */
export async function noteStall(deps: ActivityDeps, chainId: string): Promise<void> {
  const chain = await readArchiveRun(deps.catalog, chainId);
  const { coveredTo, server, policy } = chain;
  // Nothing was ever covered: attaching tells that itself.
  if (!chain.archiveWanted || chain.archiveStatus !== 'error' || coveredTo === null) return;
  if (Date.now() - coveredTo.getTime() < STALL_MS) return;
  const { message } = (chain.archiveError ?? { message: 'The reason is not known.' }) as { message: string };
  await noteEvent(deps.catalog, {
    event: 'archive_stalled',
    dedupeKey: `archive_stalled/${chainId}/${coveredTo.toISOString()}`,
    policyId: chain.policyId,
    what: `The log of ${server.identity} is not archived under the policy ${policy.name} since ${coveredTo.toISOString()}: later moments cannot be restored now.`,
    why: message,
    nextStep:
      'Remove the cause; following goes on by itself, without a gap as long as the server still has its log. Until then the server keeps it, up to its limit.',
  });
}
