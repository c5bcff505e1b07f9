/** Databases under a policy through the public API of a whole service, as a user's script would put them there. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { ApiProblem } from '../../scripts/lib/api-client.js';
import type { BackupResource } from '../../src/domain/schemas/backups.js';
import type { DatabaseResource } from '../../src/domain/schemas/databases.js';
import type { AttachmentResource, PolicyResource, RecoveryWindowResource } from '../../src/domain/schemas/policies.js';
import type { TestService } from './tidemark.js';
import { until } from './until.js';

type Service = Pick<TestService, 'api'>;

/** As `until`, at the pace of a client of the API, which limits how often one asks; a 5xx may pass, as for `untilSettled`. */
export const eventually = <T>(probe: () => Promise<T>, what: string, timeoutMs: number) =>
  until(
    async () => {
      await sleep(400);
      try {
        return await probe();
      } catch (error) {
        if (error instanceof ApiProblem && error.status >= 500) return null;
        throw error;
      }
    },
    what,
    timeoutMs,
  );

/** A policy with point-in-time recovery whose check was made; its id. */
export async function createPolicy({ api }: Service, destinationId: string, name = 'Everything'): Promise<string> {
  const { id } = await api.post<PolicyResource>('/v1/policies', {
    name,
    destinationId,
    schedule: { full: { frequency: 'daily', time: '02:30' }, incremental: '6h' },
    pitr: true,
  });
  await eventually(
    async () => (await api.get<PolicyResource>(`/v1/policies/${id}`)).status === 'active',
    'the policy to be checked',
    120_000,
  );
  return id;
}

/** Attaches a database and waits until point-in-time recovery of it is `active`. */
export async function attach({ api }: Service, policyId: string, databaseId: string): Promise<AttachmentResource> {
  await api.post(`/v1/policies/${policyId}/attachments`, { databaseId });
  const settled = await eventually(
    async () => {
      const row = await api.get<AttachmentResource>(`/v1/policies/${policyId}/attachments/${databaseId}`);
      return row.status === 'configuring' || row.pitrStatus === 'configuring' ? null : row;
    },
    'the database to be attached',
    300_000,
  );
  expect(settled).toMatchObject({ status: 'active', lastError: null, pitrStatus: 'active', pitrError: null });
  return settled;
}

export async function detach({ api }: Service, policyId: string, databaseId: string): Promise<void> {
  await api.delete(`/v1/policies/${policyId}/attachments/${databaseId}`);
  await eventually(
    async () => (await api.get<DatabaseResource>(`/v1/databases/${databaseId}`)).attachment === null,
    'the database to be detached',
    120_000,
  );
}

/** Takes a full or incremental now. */
export async function backUpServer(
  { api }: Service,
  databaseId: string,
  kind: 'full' | 'incremental',
): Promise<BackupResource> {
  const { id } = await api.post<BackupResource>('/v1/backups', { databaseId, kind });
  const backup = await api.untilSettled<BackupResource>(`/v1/backups/${id}`);
  expect(backup).toMatchObject({ status: 'completed', kind, error: null });
  return backup;
}

export const windowOf = ({ api }: Service, databaseId: string) =>
  api.get<RecoveryWindowResource>(`/v1/databases/${databaseId}/recovery-window`);

/** Waits until everything that is committed now can be restored; the sources of tests have this machine's clock. */
export async function untilCovered(
  service: Service,
  databaseId: string,
  timeoutMs = 120_000,
): Promise<RecoveryWindowResource> {
  const now = Date.now();
  return await eventually(
    async () => {
      const window = await windowOf(service, databaseId);
      return Date.parse(window.to ?? '') >= now ? window : null;
    },
    'the log to be stored',
    timeoutMs,
  );
}
