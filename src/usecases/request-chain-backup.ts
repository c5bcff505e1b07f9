import { findLiveAttachment } from '../catalog/attachments.js';
import { recordAudit } from '../catalog/audit-events.js';
import type { ChainRow } from '../catalog/chains.js';
import { findChain } from '../catalog/chains.js';
import { claimChainRun } from '../catalog/runs/claim-chain.js';
import type { EngineKind } from '../domain/engine-kinds.js';
import { TidemarkError } from '../domain/errors.js';
import { incrementalKindOf } from '../domain/incremental-kind.js';
import type { BackupResource, CreateBackup } from '../domain/schemas/backups.js';
import type { Principal, UsecaseContext } from './context.js';
import { requireBackup } from './get-backup.js';
import { requireDatabase } from './get-database.js';
import { presentBackup } from './present/present-backup.js';
import { startOrLeave } from './runs/start-run.js';
import { wakeChain } from './runs/wake-chain.js';

/**
 * Takes a full or incremental of the server of an attached database now, also under a paused policy. Throws `destination_required`
 * without an attachment, `conflict` while that is being set up, `not_supported` for an incremental made of a log that the policy does not
 * archive, and what `claimChainRun` throws: `run_in_progress` naming the run.
 */
export async function requestChainBackup(
  context: UsecaseContext,
  principal: Principal,
  input: Extract<CreateBackup, { databaseId: string }>,
): Promise<BackupResource> {
  const { prisma } = context.catalog;
  const database = await requireDatabase(context, principal, input.databaseId);
  const attachment = await findLiveAttachment(prisma, database.id);
  if (attachment === null || attachment.status === 'detaching') {
    throw new TidemarkError(
      'destination_required',
      `The database ${database.id} is not attached to a policy, so nothing says where its backup goes. Send a planId instead.`,
      { object: database.id, fields: [{ field: '/planId', message: 'is required for a database without a policy' }] },
    );
  }
  const chain = attachment.chainId === null ? null : await findChain(prisma, attachment.chainId);
  if (chain === null) {
    throw new TidemarkError(
      'conflict',
      `The attachment of ${database.name} (${database.id}) to policy ${attachment.policy.name} is not set up yet (${attachment.status}).`,
      { object: database.id, references: [attachment.id] },
    );
  }
  if (input.kind === 'incremental') assertIncrementals(chain);
  const claim = await claimChainRun(context.catalog, {
    chainId: chain.id,
    kind: input.kind ?? 'full',
    trigger: 'manual',
    requestedBy: principal.userId,
    databaseId: database.id,
    label: input.label ?? null,
  });
  // A manual request is refused by throwing; a row that says "skipped" is for schedules.
  if (claim.state !== 'claimed') throw new TidemarkError('conflict', claim.reason, { object: database.id });
  const details = { databaseId: database.id, policyId: chain.policyId, kind: input.kind ?? 'full' };
  await recordAudit(prisma, principal, 'backup.requested', claim.backupId, details);
  await startOrLeave(context, claim.backupId, () => wakeChain(context, chain));
  return presentBackup(await requireBackup(context, principal, claim.backupId));
}

/** Asked for by a schedule, such a one is skipped; as a run it would only fail, and count as a failure of the database. */
function assertIncrementals({ policy, server }: ChainRow): void {
  if (policy.pitr || incrementalKindOf({ engine: server.engine as EngineKind, major: server.major }) !== 'log') return;
  throw new TidemarkError(
    'not_supported',
    `Incrementals of ${server.engine} ${server.major} are made of the archived log, and the policy ${policy.name} (${policy.id}) archives none. Turn on its PITR, or take a full.`,
    { object: policy.id, fields: [{ field: '/kind', message: 'must be full while the policy archives no log' }] },
  );
}
