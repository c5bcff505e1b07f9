import { recordAudit } from '../catalog/audit-events.js';
import { findDestinationReferences, lockDestination, markDestinationDeleted } from '../catalog/destinations.js';
import { deleteSecret } from '../catalog/secrets.js';
import type { Principal, UsecaseContext } from './context.js';
import { requireDestination } from './get-destination.js';
import { stillReferenced } from './shared/refusals.js';

/**
 * Forgets a destination and its credentials. Nothing stored is removed: backups in it stay in the history, their restore answers
 * `destination_deleted`, and `tidemark extract` still reads them. Throws `still_referenced` naming plans and runs that need it.
 */
export async function deleteDestination(
  context: UsecaseContext,
  principal: Principal,
  input: { destinationId: string },
): Promise<void> {
  const row = await requireDestination(context, principal, input.destinationId);
  await context.catalog.prisma.$transaction(async (tx) => {
    await lockDestination(tx, row.id);
    const references = await findDestinationReferences(tx, row.id);
    if (references.length > 0) throw stillReferenced('destination', row.id, references);
    await markDestinationDeleted(tx, row.id);
    if (row.secretId !== null) await deleteSecret(tx, row.secretId);
    await recordAudit(tx, principal, 'destination.deleted', row.id, { name: row.name });
  });
}
