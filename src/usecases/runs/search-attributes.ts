import type { Client, Connection } from '@temporalio/client';
import { defineSearchAttributeKey, SearchAttributeType, TypedSearchAttributes } from '@temporalio/common';
import { searchAttributeNames } from '../../workflows/names.js';
import type { UsecaseContext } from '../context.js';

const keys = {
  database: defineSearchAttributeKey(searchAttributeNames.database, SearchAttributeType.KEYWORD),
  plan: defineSearchAttributeKey(searchAttributeNames.plan, SearchAttributeType.KEYWORD),
  policy: defineSearchAttributeKey(searchAttributeNames.policy, SearchAttributeType.KEYWORD),
  kind: defineSearchAttributeKey(searchAttributeNames.kind, SearchAttributeType.KEYWORD),
  status: defineSearchAttributeKey(searchAttributeNames.status, SearchAttributeType.KEYWORD),
};

/**
 * Asks Temporal whether the namespace knows all our search attributes. Where the question is not allowed (Temporal Cloud keys without
 * operator rights) the answer is false: a start that names an unknown attribute would be refused.
 */
export async function learnSearchAttributes(client: Client): Promise<boolean> {
  try {
    const connection = client.connection as Partial<Connection>;
    const answer = await client.withDeadline(Date.now() + 10_000, async () =>
      connection.operatorService?.listSearchAttributes({ namespace: client.options.namespace }),
    );
    const known = answer?.customAttributes ?? {};
    return Object.values(searchAttributeNames).every((name) => Object.hasOwn(known, name));
  } catch {
    return false;
  }
}

export type RunAttributes = {
  databaseId: string | null;
  planId: string | null;
  policyId?: string | null;
  kind: string;
};

/** The typed search attributes of a run, as start options; nothing where the namespace does not know them. */
export function searchAttributesOf(
  context: UsecaseContext,
  run: RunAttributes,
): { typedSearchAttributes?: TypedSearchAttributes } {
  if (!context.options.searchAttributes) return {};
  return {
    typedSearchAttributes: new TypedSearchAttributes([
      ...(run.databaseId === null ? [] : [{ key: keys.database, value: run.databaseId }]),
      ...(run.planId === null ? [] : [{ key: keys.plan, value: run.planId }]),
      ...(run.policyId == null ? [] : [{ key: keys.policy, value: run.policyId }]),
      { key: keys.kind, value: run.kind },
      { key: keys.status, value: 'pending' },
    ]),
  };
}
