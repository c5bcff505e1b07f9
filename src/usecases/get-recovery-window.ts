import type { ChainRow } from '../catalog/chains.js';
import { findChainsOfDatabase, findJoined } from '../catalog/chains.js';
import type { DatabaseRow } from '../catalog/databases.js';
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

/**
 * To which moments a database can be restored, from what is stored and never from a schedule. One that came when the chain was there already
 * may be restorable to a moment before that: what the log has of it only a recovery finds.
 */
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
  const window = found === null ? null : await ownWindow(context, found.chainId, database);
  if (window === null) return { from: null, to: null, runs: [], archive };
  const { from, to, runs } = window;
  return { from, to, runs: runs.map((run) => ({ ...run })), archive };
}

async function ownWindow({ catalog }: UsecaseContext, chainId: string, { id, database }: DatabaseRow) {
  const since = await findJoined(catalog.prisma, chainId, id);
  return await recoveryWindow(catalog, { chainId, of: { database, since: since?.toISOString() ?? null } });
}
