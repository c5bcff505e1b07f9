import type { ListPoliciesQuery } from '../domain/schemas/policies.js';
import type { PausedBy, PolicyStatus } from '../domain/statuses.js';
import type { CatalogQueries } from './client.js';
import { Prisma } from './generated/client.js';
import { jsonObject } from './json.js';
import type { PageRequest } from './paging.js';
import { afterKeyset, cutPage, newestFirst, readCursor } from './paging.js';
import type { Viewer } from './scope.js';
import { ownedBy } from './scope.js';

const include = {
  destination: true,
  // Live attachments: the row of a detached database stays for the history, without its key.
  attachments: { where: { activeKey: { not: null } }, orderBy: { createdAt: 'asc' } },
} as const satisfies Prisma.PolicyInclude;
export type PolicyRow = Prisma.PolicyGetPayload<{ include: typeof include }>;

export type NewPolicy = {
  id: string;
  name: string;
  ownerId: string;
  destinationId: string;
  schedule: object;
  pitr: boolean;
  retention: object;
  encryption: boolean;
  keyId: string | null;
};

export async function insertPolicy(queries: CatalogQueries, data: NewPolicy): Promise<PolicyRow> {
  return await queries.policy.create({
    data: { ...data, schedule: jsonObject(data.schedule), retention: jsonObject(data.retention) },
    include,
  });
}

export async function findPolicy(queries: CatalogQueries, viewer: Viewer, id: string): Promise<PolicyRow | null> {
  return await queries.policy.findFirst({ where: { id, deletedAt: null, ...ownedBy(viewer) }, include });
}

/** Makes an attachment, a change and a deletion wait for each other. */
export async function lockPolicy(queries: CatalogQueries, id: string): Promise<void> {
  await queries.$queryRaw`SELECT "id" FROM "Policy" WHERE "id" = ${id} FOR UPDATE`;
}

export async function findPolicies(queries: CatalogQueries, viewer: Viewer, query: ListPoliciesQuery) {
  const page: PageRequest = { list: 'policies', viewer, query };
  const rows = await queries.policy.findMany({
    where: {
      deletedAt: null,
      ...ownedBy(viewer),
      ...(query.destinationId === undefined ? {} : { destinationId: query.destinationId }),
      ...(query.status === undefined ? {} : { status: query.status }),
      AND: [afterKeyset(readCursor(page))],
    },
    include,
    orderBy: [...newestFirst],
    take: query.limit + 1,
  });
  return cutPage(page, rows, (row) => row.createdAt);
}

export type PolicyChanges = Partial<Omit<NewPolicy, 'id' | 'ownerId'>> & {
  status?: PolicyStatus;
  pausedBy?: PausedBy | null;
  /** What was verified is not what will be used. */
  forgetCheck?: boolean;
};

/** Every change raises the revision, by which the reconciler knows that Temporal Schedules are of an older one. */
export async function changePolicy(queries: CatalogQueries, id: string, changes: PolicyChanges): Promise<PolicyRow> {
  const { schedule, retention, forgetCheck, ...rest } = changes;
  return await queries.policy.update({
    where: { id },
    data: {
      ...rest,
      ...(schedule === undefined ? {} : { schedule: jsonObject(schedule) }),
      ...(retention === undefined ? {} : { retention: jsonObject(retention) }),
      ...(forgetCheck === true ? { credentialsVerifiedAt: null, lastError: Prisma.DbNull } : {}),
      revision: { increment: 1 },
    },
    include,
  });
}

export async function markPolicyDeleted(queries: CatalogQueries, id: string): Promise<void> {
  await queries.policy.update({ where: { id }, data: { deletedAt: new Date(), revision: { increment: 1 } } });
}

/** Ids of runs under a policy that are pending or in progress. */
export async function findActiveRunsOfPolicy(queries: CatalogQueries, id: string): Promise<string[]> {
  const rows = await queries.backup.findMany({
    where: { policyId: id, status: { in: ['pending', 'in_progress'] } },
    select: { id: true },
    take: 100,
  });
  return rows.map((row) => row.id);
}

/** Ids of what lies in the destination for a policy, up to 100: while there is something, another destination would tear chains apart. */
export async function findStoredUnderPolicy(queries: CatalogQueries, id: string): Promise<string[]> {
  const backups = await queries.backup.findMany({
    where: { policyId: id, deletedAt: null, status: { in: ['pending', 'in_progress', 'completed'] } },
    select: { id: true },
    take: 100,
  });
  const chains = await queries.chain.findMany({
    where: { policyId: id, slices: { some: { deletedAt: null } } },
    select: { id: true },
    take: 100,
  });
  return [...backups, ...chains].map((row) => row.id);
}

/** Every policy whose first check never came to an end, asked for before `since`. */
export async function findUncheckedPolicies(queries: CatalogQueries, since: Date) {
  return await queries.policy.findMany({
    where: { status: 'validating', deletedAt: null, updatedAt: { lt: since } },
    select: { id: true, name: true },
    take: 200,
  });
}
