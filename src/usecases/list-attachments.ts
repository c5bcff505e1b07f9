import { findAttachments } from '../catalog/attachments.js';
import type { Page, PageQuery } from '../domain/schemas/common.js';
import type { AttachmentResource } from '../domain/schemas/policies.js';
import type { Principal, UsecaseContext } from './context.js';
import { requirePolicy } from './get-policy.js';
import { presentAttachment } from './present/present-policy.js';

/** The databases that a policy protects now, newest first; `not_found` when there is no such policy. */
export async function listAttachments(
  context: UsecaseContext,
  principal: Principal,
  input: { policyId: string; query: PageQuery },
): Promise<Page<AttachmentResource>> {
  await requirePolicy(context, principal, input.policyId);
  const { rows, nextCursor } = await findAttachments(context.catalog.prisma, principal, input);
  return { items: rows.map(presentAttachment), nextCursor };
}
