import { findPolicies } from '../catalog/policies.js';
import type { Page } from '../domain/schemas/common.js';
import type { ListPoliciesQuery, PolicyResource } from '../domain/schemas/policies.js';
import type { Principal, UsecaseContext } from './context.js';
import { presentPolicy } from './present/present-policy.js';

export async function listPolicies(
  context: UsecaseContext,
  principal: Principal,
  query: ListPoliciesQuery,
): Promise<Page<PolicyResource>> {
  const { rows, nextCursor } = await findPolicies(context.catalog.prisma, principal, query);
  return { items: rows.map(presentPolicy), nextCursor };
}
