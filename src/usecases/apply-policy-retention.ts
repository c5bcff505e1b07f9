import { recordAudit } from '../catalog/audit-events.js';
import { findChainsOfPolicy } from '../catalog/chains.js';
import type { PolicyRetentionPreview } from '../domain/schemas/policy-retention.js';
import type { Principal, UsecaseContext } from './context.js';
import { previewPolicyRetention } from './preview-policy-retention.js';
import { askForRetention } from './runs/wake-chain.js';

/**
 * Has the retention of a policy applied now, also while it is paused: a person asks for it. Answers what goes by it. A server with a run
 * under way decides afterwards. Throws what Temporal throws: nothing is noted that somebody else could make up for.
 */
export async function applyPolicyRetention(
  context: UsecaseContext,
  principal: Principal,
  input: { policyId: string },
): Promise<PolicyRetentionPreview> {
  const { catalog } = context;
  const preview = await previewPolicyRetention(context, principal, input);
  for (const chain of await findChainsOfPolicy(catalog.prisma, preview.policyId)) {
    if (chain.attachments.length > 0) await askForRetention(context, chain);
  }
  await recordAudit(catalog.prisma, principal, 'policy.retention_requested', preview.policyId, {
    backups: preview.chains.flatMap(({ removes }) => removes.map(({ backupId }) => backupId)),
  });
  return preview;
}
