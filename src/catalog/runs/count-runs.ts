import { errorTable, isErrorCode } from '../../domain/errors.js';
import { FAILURES_TO_PAUSE } from '../../domain/statuses.js';
import { resetFailuresOf } from '../attachments.js';
import type { Catalog, CatalogQueries } from '../client.js';
import { changePolicy, lockPolicy } from '../policies.js';
import { noteEvent } from './note-event.js';
import { noJson } from './run-json.js';

/**
 * Failures in a row, per attachment: every database that a chain serves fails and succeeds with its runs. Runs that were skipped or
 * cancelled count neither way.
 */

type Counted = { readonly backupId: string };

/**
 * A run of a chain has failed: people are told, it is counted on every attachment of the chain, and the third one in a row pauses the
 * policy: its schedules stop, its receivers go on. Safe to repeat: a run that people were told of is not counted again.
 */
export async function countFailure(catalog: Catalog, { backupId }: Counted): Promise<void> {
  await catalog.prisma.$transaction(async (tx) => {
    const run = await lockRun(tx, backupId);
    if (run?.status !== 'failed') return;
    const dedupeKey = `backup_failed/${backupId}`;
    if ((await tx.notification.count({ where: { dedupeKey } })) > 0) return;
    const { chainId, policyId } = run;
    await tx.attachment.updateMany({
      where: { chainId, activeKey: { not: null } },
      data: { consecutiveFailures: { increment: 1 }, lastError: run.error ?? noJson },
    });
    const failing = await tx.attachment.findMany({
      where: { chainId, activeKey: { not: null } },
      orderBy: { consecutiveFailures: 'desc' },
      include: { database: { select: { name: true } } },
    });
    const count = failing[0]?.consecutiveFailures ?? 0;
    const { code, message } = (run.error ?? { code: 'internal', message: '' }) as { code: string; message: string };
    const names = failing.map(({ database }) => database.name).join(', ');
    const remedy = isErrorCode(code) ? errorTable[code].remedy : 'Correct the cause.';
    const isPaused = count >= FAILURES_TO_PAUSE && ['active', 'error'].includes(run.policy.status);
    await noteEvent(
      { prisma: tx },
      {
        event: 'backup_failed',
        dedupeKey,
        policyId,
        databaseId: run.databaseId,
        backupId,
        what: `The ${run.kind} ${backupId} failed under the policy ${run.policy.name}. It would have held ${names}. Failures in a row: ${count}.`,
        why: message,
        nextStep: `${remedy} ${isPaused ? 'The policy is paused.' : 'The next run follows the schedule.'}`,
      },
    );
    if (!isPaused) return;
    await changePolicy(tx, policyId, { status: 'paused', pausedBy: 'failures' });
    await noteEvent(
      { prisma: tx },
      {
        event: 'policy_paused',
        dedupeKey: `policy_paused/${policyId}/${backupId}`,
        policyId,
        backupId,
        what: `The policy ${run.policy.name} was paused: ${count} runs in a row have failed for ${names}. No backups are scheduled; the log is archived on.`,
        why: message,
        nextStep: `${remedy} Then POST /v1/policies/${policyId}/reset-failures, or ask for a backup: once it is completed the policy goes on by itself.`,
      },
    );
  });
}

/**
 * A run of a chain was completed: its databases have no failures in a row any more. A policy that failures had paused goes on as soon as none
 * of its databases has three; a pause by a user stays. Safe to repeat, also late: a failure after this run keeps its count.
 */
export async function countSuccess(catalog: Catalog, { backupId }: Counted): Promise<void> {
  await catalog.prisma.$transaction(async (tx) => {
    const run = await lockRun(tx, backupId);
    if (run?.status !== 'completed' || run.completedAt === null) return;
    const { chainId, policyId } = run;
    const failedSince = await tx.backup.count({
      where: { chainId, status: 'failed', completedAt: { gt: run.completedAt } },
    });
    if (failedSince > 0) return;
    await resetFailuresOf(tx, { chainId });
    if (run.policy.status !== 'paused' || run.policy.pausedBy !== 'failures') return;
    const stillFailing = await tx.attachment.count({
      where: { policyId, activeKey: { not: null }, consecutiveFailures: { gte: FAILURES_TO_PAUSE } },
    });
    if (stillFailing > 0) return;
    await changePolicy(tx, policyId, { status: 'active', pausedBy: null });
    await noteEvent(
      { prisma: tx },
      {
        event: 'policy_reactivated',
        dedupeKey: `policy_reactivated/${policyId}/${backupId}`,
        policyId,
        backupId,
        what: `The policy ${run.policy.name} is active again; its schedules go on.`,
        why: `The ${run.kind} ${backupId} was completed, and none of the attached databases has ${FAILURES_TO_PAUSE} failures in a row any more.`,
        nextStep: 'Nothing to do.',
      },
    );
  });
}

/** A chain's run with its policy, which is locked first: two runs of one policy may settle at once. Null for what is of no chain. */
async function lockRun(tx: CatalogQueries, backupId: string) {
  const found = await tx.backup.findUnique({ where: { id: backupId }, select: { policyId: true, chainId: true } });
  if (found?.policyId == null || found.chainId === null) return null;
  const { policyId, chainId } = found;
  await lockPolicy(tx, policyId);
  const run = await tx.backup.findUniqueOrThrow({ where: { id: backupId } });
  const policy = await tx.policy.findUniqueOrThrow({ where: { id: policyId } });
  return { ...run, policyId, chainId, policy };
}
