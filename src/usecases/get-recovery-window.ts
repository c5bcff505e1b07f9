import type { ChainRow } from '../catalog/chains.js';
import { findChainsOfDatabase } from '../catalog/chains.js';
import { recoveryWindow } from '../catalog/runs/recovery-window.js';
import type { RecoveryWindow } from '../domain/recovery-window.js';
import type { RecoveryWindowResource } from '../domain/schemas/policies.js';
import type { Principal, UsecaseContext } from './context.js';
import { requireDatabase } from './get-database.js';
import { presentArchive } from './present/present-database.js';

/** The chain that a database is recovered from, with its window: the present one, else the newest that still has something. */
export async function findRecoverableChain(
  context: UsecaseContext,
  databaseId: string,
): Promise<{ chainId: string; window: RecoveryWindow } | null> {
  return await findRecoverable(context, await findChainsOfDatabase(context.catalog.prisma, databaseId));
}

async function findRecoverable(context: UsecaseContext, chains: readonly ChainRow[]) {
  for (const chain of chains) {
    const window = await recoveryWindow(context.catalog, { chainId: chain.id });
    if (window !== null) return { chain, chainId: chain.id, window };
  }
  return null;
}

/** To which moments a database can be restored, from what is stored and never from a schedule. */
export async function getRecoveryWindow(
  context: UsecaseContext,
  principal: Principal,
  input: { databaseId: string },
): Promise<RecoveryWindowResource> {
  const database = await requireDatabase(context, principal, input.databaseId);
  const chains = await findChainsOfDatabase(context.catalog.prisma, database.id);
  const found = await findRecoverable(context, chains);
  const chain = found?.chain ?? chains[0];
  const archive = chain === undefined ? null : presentArchive(chain);
  if (found === null) return { from: null, to: null, runs: [], archive };
  const { from, to, runs } = found.window;
  return { from, to, runs: runs.map((run) => ({ ...run })), archive };
}
