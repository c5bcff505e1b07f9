import type { ChainRow } from '../../catalog/chains.js';
import { claimChainRun } from '../../catalog/runs/claim-chain.js';
import { needsFull, settlePitr } from '../../catalog/runs/present-full.js';
import type { UsecaseContext } from '../context.js';
import { wakeChain } from '../runs/wake-chain.js';
import type { PassResult } from './pass-result.js';

/**
 * Asks for a full where the log is followed and nothing is there that it goes on from: the one that a gap asked for was skipped or failed,
 * or was found damaged. Tells the attachments when PITR has come about again.
 */
export async function queueMissingFull(context: UsecaseContext, chain: ChainRow, result: PassResult): Promise<void> {
  const { catalog } = context;
  // Cheap for all that are well: whatever breaks a log says so there.
  if (!chain.attachments.some(({ pitrStatus }) => pitrStatus === 'error')) return;
  await settlePitr(catalog, chain.id);
  const now = new Date();
  if (!(await needsFull(catalog, chain.id, now))) return;
  const claimed = await claimChainRun(catalog, {
    chainId: chain.id,
    kind: 'full',
    trigger: 'schedule',
    scheduledFor: now,
  });
  if (claimed.state !== 'claimed') return;
  await wakeChain(context, chain);
  result.note('runsStarted', claimed.backupId);
}
