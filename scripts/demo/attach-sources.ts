import { setTimeout as sleep } from 'node:timers/promises';
import type { AttachmentResource, PolicyResource } from '../../src/domain/schemas/policies.js';
import type { ApiClient } from '../lib/api-client.js';

/** What the demo does with the API over and over: asks it, says what happened, and ends when Ctrl-C was pressed. */
export type DemoContext = {
  readonly api: ApiClient;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
};

/** A database of the demo, registered. */
export type RegisteredSource = { readonly title: string; readonly databaseId: string };

const POLICY_WITHIN_MS = 120_000;
// Fulls of six servers share two cores, and each is opened in a sandbox.
const ATTACH_WITHIN_MS = 900_000;

/** Asks until `look` gives something, at the pace of a client whose requests are counted. Throws naming `what` after `withinMs`. */
export async function askUntil<T>(
  context: DemoContext,
  look: () => Promise<T | null>,
  what: string,
  withinMs: number,
): Promise<T> {
  const giveUpAt = Date.now() + withinMs;
  for (;;) {
    const found = await look();
    if (found !== null) return found;
    if (Date.now() > giveUpAt) throw new Error(`after ${withinMs / 1000} s still waiting for ${what}`);
    await sleep(500, undefined, { signal: context.signal });
  }
}

/** One policy for all servers, with point-in-time recovery; its id once it was checked. */
export async function createPolicy({ api, ...context }: DemoContext, destinationId: string): Promise<string> {
  const { id } = await api.post<PolicyResource>('/v1/policies', {
    name: 'demo policy',
    destinationId,
    schedule: { full: { frequency: 'daily', time: '03:00' }, incremental: 'none' },
    pitr: true,
  });
  const policy = await askUntil(
    { api, ...context },
    async () => {
      const row = await api.get<PolicyResource>(`/v1/policies/${id}`);
      return row.status === 'validating' ? null : row;
    },
    'the policy to be checked',
    POLICY_WITHIN_MS,
  );
  if (policy.status !== 'active') throw new Error(`the policy is ${policy.status}: ${policy.lastError?.message}`);
  return id;
}

/** Attaches all at once (each waits most of the time for its server) and waits until the log of every one is archived. */
export async function attachSources(
  context: DemoContext,
  policyId: string,
  sources: readonly RegisteredSource[],
): Promise<void> {
  const { api, say } = context;
  for (const { databaseId } of sources) await api.post(`/v1/policies/${policyId}/attachments`, { databaseId });
  for (const { title, databaseId } of sources) {
    const attachment = await askUntil(
      context,
      async () => {
        const row = await api.get<AttachmentResource>(`/v1/policies/${policyId}/attachments/${databaseId}`);
        return row.status === 'configuring' || row.pitrStatus === 'configuring' ? null : row;
      },
      `${title} to be attached`,
      ATTACH_WITHIN_MS,
    );
    const { status, pitrStatus, lastError, pitrError } = attachment;
    if (status !== 'active') throw new Error(`${title}: the attachment is ${status}: ${lastError?.message}`);
    if (pitrStatus !== 'active')
      throw new Error(`${title}: point-in-time recovery is ${pitrStatus}: ${pitrError?.message}`);
    say(`  ${title}: attached; a full was taken and opened in a sandbox, the log is archived`);
  }
}
