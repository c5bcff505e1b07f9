import { newId } from '../../domain/ids.js';
import type { NotificationEvent } from '../../domain/statuses.js';
import type { CatalogQueries } from '../client.js';
import { findInstallation } from '../installations.js';
import { toJson } from './run-json.js';

export type PeopleEvent = {
  readonly event: NotificationEvent;
  /** The same event noted again makes no second row. */
  readonly dedupeKey: string;
  readonly policyId?: string;
  readonly databaseId?: string;
  readonly backupId?: string;
  readonly what: string;
  readonly why: string;
  readonly nextStep: string;
};

const subjects: Record<NotificationEvent, string> = {
  backup_failed: 'Backup failed',
  policy_paused: 'Policy paused',
  policy_reactivated: 'Policy active again',
  pitr_gap: 'Gap in the log archive',
  archive_stalled: 'The log archive stands still',
  source_changed: 'Backups are read from another server',
  cleanup_pending: 'Something of ours is left on a server',
  retention_refused: 'Retention could not delete',
  backup_damaged: 'Something that is stored was damaged',
};

/**
 * Keeps an event for the owner of its policy, or of its database: one row and one Message-ID, however often it is noted. Sends nothing;
 * a workflow of its own does, which is started from the row. An event of nobody (the policy and the database are gone) is dropped.
 */
export async function noteEvent(catalog: { readonly prisma: CatalogQueries }, input: PeopleEvent): Promise<void> {
  const { prisma } = catalog;
  const policy =
    input.policyId === undefined
      ? null
      : await prisma.policy.findUnique({ where: { id: input.policyId }, include: { owner: true } });
  const database =
    input.databaseId === undefined
      ? null
      : await prisma.database.findUnique({ where: { id: input.databaseId }, include: { owner: true } });
  const owner = policy?.owner ?? database?.owner;
  if (owner === undefined) return;
  const id = newId('notification');
  const installation = await findInstallation(prisma);
  const about = database?.name ?? policy?.name;
  await prisma.notification.createMany({
    data: [
      {
        id,
        event: input.event,
        dedupeKey: input.dedupeKey,
        recipient: owner.email,
        subject: about === undefined ? subjects[input.event] : `${subjects[input.event]}: ${about}`,
        body: toJson({ what: input.what, why: input.why, nextStep: input.nextStep }),
        policyId: input.policyId ?? null,
        databaseId: input.databaseId ?? null,
        backupId: input.backupId ?? null,
        ownerId: owner.id,
        messageId: `<${id}@${installation?.id ?? 'tidemark'}>`,
      },
    ],
    skipDuplicates: true,
  });
}
