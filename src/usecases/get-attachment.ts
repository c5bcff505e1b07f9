import type { AttachmentRow } from '../catalog/attachments.js';
import { findAttachment, findLiveAttachment } from '../catalog/attachments.js';
import type { AttachmentResource } from '../domain/schemas/policies.js';
import type { Principal, UsecaseContext } from './context.js';
import { requirePolicy } from './get-policy.js';
import { presentAttachment } from './present/present-policy.js';
import { notFound } from './shared/refusals.js';

/** The attachment of a database to a policy that the principal may see, by the database's id; `not_found` otherwise. */
export async function requireAttachment(
  context: UsecaseContext,
  principal: Principal,
  input: { policyId: string; databaseId: string },
): Promise<AttachmentRow> {
  await requirePolicy(context, principal, input.policyId);
  const row = await findLiveAttachment(context.catalog.prisma, input.databaseId);
  if (row === null || row.policyId !== input.policyId) throw notFound('attached database', input.databaseId);
  return row;
}

export async function getAttachment(
  context: UsecaseContext,
  principal: Principal,
  input: { policyId: string; databaseId: string },
): Promise<AttachmentResource> {
  return presentAttachment(await requireAttachment(context, principal, input));
}

/** By its own id, for a request that is repeated; also one that has ended since. */
export async function getAttachmentById(
  context: UsecaseContext,
  principal: Principal,
  input: { attachmentId: string },
): Promise<AttachmentResource> {
  const row = await findAttachment(context.catalog.prisma, principal, input.attachmentId);
  if (row === null) throw notFound('attachment', input.attachmentId);
  return presentAttachment(row);
}
