import type { PolicyRow } from '../catalog/policies.js';
import { findPolicy } from '../catalog/policies.js';
import type { PolicyResource } from '../domain/schemas/policies.js';
import type { Principal, UsecaseContext } from './context.js';
import { presentPolicy } from './present/present-policy.js';
import { notFound } from './shared/refusals.js';

/** The row of a policy that the principal may see; `not_found` otherwise. */
export async function requirePolicy(context: UsecaseContext, principal: Principal, id: string): Promise<PolicyRow> {
  const row = await findPolicy(context.catalog.prisma, principal, id);
  if (row === null) throw notFound('policy', id);
  return row;
}

export async function getPolicy(
  context: UsecaseContext,
  principal: Principal,
  input: { policyId: string },
): Promise<PolicyResource> {
  return presentPolicy(await requirePolicy(context, principal, input.policyId));
}
