import type { ArchiveRun } from '../../catalog/runs/archive-run.js';
import type { ChainFacts } from '../../catalog/runs/chain-run.js';
import { noteChainFacts } from '../../catalog/runs/chain-run.js';
import { TidemarkError } from '../../domain/errors.js';
import type { OpenedAttempt } from '../run-attempt.js';

/** One attempt at a full or incremental, with the chain that it is for. */
export type ChainWork = OpenedAttempt & {
  readonly chain: ArchiveRun;
  /** The archive's epoch, to which what is taken now belongs; null when nothing archives. */
  readonly epoch: number | null;
};

/** Notes what the attempt has decided on the row. Throws `fenced` when a newer attempt has begun. */
export async function noteFacts({ deps, run, attempt }: OpenedAttempt, facts: ChainFacts): Promise<void> {
  if (await noteChainFacts(deps.catalog, run.id, attempt.token, facts)) return;
  throw new TidemarkError('fenced', `A newer attempt of ${run.id} has taken over.`, { object: run.id });
}
