import { recordAudit } from '../catalog/audit-events.js';
import { findDatabaseReferences, lockDatabase, markDatabaseDeleted } from '../catalog/databases.js';
import { handOverHeldLog } from '../catalog/runs/cleanup-run.js';
import { deleteSecret } from '../catalog/secrets.js';
import type { Principal, UsecaseContext } from './context.js';
import { requireDatabase } from './get-database.js';
import { stillReferenced } from './shared/refusals.js';

/**
 * Forgets a database and its password. Its backups stay in the history and can be restored elsewhere. What an archive holds on
 * a replica becomes a clean-up. Throws `still_referenced` naming plans, replicas and runs that need it.
 */
export async function deleteDatabase(
  context: UsecaseContext,
  principal: Principal,
  input: { databaseId: string },
): Promise<void> {
  const row = await requireDatabase(context, principal, input.databaseId);
  await context.catalog.prisma.$transaction(async (tx) => {
    await lockDatabase(tx, row.id);
    const references = await findDatabaseReferences(tx, row.id);
    if (references.length > 0) throw stillReferenced('database', row.id, references);
    await markDatabaseDeleted(tx, row.id);
    if (!(await handOverHeldLog(tx, row))) await deleteSecret(tx, row.secretId);
    await recordAudit(tx, principal, 'database.deleted', row.id, { name: row.name });
  });
}
