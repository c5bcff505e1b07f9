import type { Catalog } from '../client.js';
import { noteEvent } from './note-event.js';
import { noJson } from './run-json.js';

/**
 * A run of a chain has failed: told to people once, and counted on every attachment of the chain. Safe to repeat for one run: who was told
 * already is not counted again.
 */
export async function countFailure(catalog: Catalog, { backupId }: { readonly backupId: string }): Promise<void> {
  const run = await catalog.prisma.backup.findUnique({ where: { id: backupId } });
  if (run === null || run.chainId === null || run.policyId === null) return;
  const dedupeKey = `backup_failed/${backupId}`;
  if ((await catalog.prisma.notification.count({ where: { dedupeKey } })) > 0) return;
  const { message } = run.error as { message: string };
  await catalog.prisma.attachment.updateMany({
    where: { chainId: run.chainId, activeKey: { not: null } },
    data: { consecutiveFailures: { increment: 1 }, lastError: run.error ?? noJson },
  });
  await noteEvent(catalog, {
    event: 'backup_failed',
    dedupeKey,
    policyId: run.policyId,
    databaseId: run.databaseId,
    backupId,
    what: `The ${run.kind} ${backupId} failed.`,
    why: message,
    nextStep: 'Correct the cause; the next run follows the schedule.',
  });
}

/** A run of a chain was completed: its attachments have no failures in a row any more. */
export async function countSuccess(catalog: Catalog, { backupId }: { readonly backupId: string }): Promise<void> {
  const run = await catalog.prisma.backup.findUnique({ where: { id: backupId } });
  if (run === null || run.chainId === null) return;
  await catalog.prisma.attachment.updateMany({
    where: { chainId: run.chainId, activeKey: { not: null } },
    data: { consecutiveFailures: 0, lastError: noJson },
  });
}
