import { findChainsOfDatabase } from '../catalog/chains.js';
import { recoveryWindow } from '../catalog/runs/recovery-window.js';
import type { RecoveryWindow } from '../domain/recovery-window.js';
import type { RecoveryWindowResource } from '../domain/schemas/policies.js';
import type { Principal, UsecaseContext } from './context.js';
import { requireDatabase } from './get-database.js';

/** The chain that a database is recovered from, with its window: the present one, else the newest that still has something. */
export async function findRecoverableChain(
  context: UsecaseContext,
  databaseId: string,
): Promise<{ chainId: string; window: RecoveryWindow } | null> {
  for (const { id } of await findChainsOfDatabase(context.catalog.prisma, databaseId)) {
    const window = await recoveryWindow(context.catalog, { chainId: id });
    if (window !== null) return { chainId: id, window };
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
  const found = await findRecoverableChain(context, database.id);
  if (found === null) return { from: null, to: null, runs: [] };
  const { from, to, runs } = found.window;
  return { from, to, runs: runs.map((run) => ({ ...run })) };
}
