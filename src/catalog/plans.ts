import type { ListPlansQuery } from '../domain/schemas/plans.js';
import type { PlanOrigin, PlanStatus } from '../domain/statuses.js';
import type { CatalogQueries } from './client.js';
import type { Prisma } from './generated/client.js';
import { jsonColumn, jsonObject } from './json.js';
import type { PageRequest } from './paging.js';
import { afterKeyset, cutPage, newestFirst, readCursor } from './paging.js';
import type { Viewer } from './scope.js';
import { ownedBy } from './scope.js';

const include = { database: true, destination: true } as const;
export type PlanRow = Prisma.PlanGetPayload<{ include: typeof include }>;

export type NewPlan = {
  id: string;
  name: string;
  databaseId: string;
  destinationId: string;
  schedule: object;
  retention: object | null;
  encryption: boolean;
  keyId: string | null;
  ownerId: string;
  /** `daily`: the one daily schedule of a database, kept as a plan. */
  origin?: PlanOrigin;
};

export async function insertPlan(queries: CatalogQueries, data: NewPlan): Promise<PlanRow> {
  return await queries.plan.create({
    data: { ...data, schedule: jsonObject(data.schedule), retention: jsonColumn(data.retention) },
    include,
  });
}

export async function findPlan(queries: CatalogQueries, viewer: Viewer, id: string): Promise<PlanRow | null> {
  return await queries.plan.findFirst({ where: { id, deletedAt: null, ...ownedBy(viewer) }, include });
}

/** The one daily schedule that a database may have, as the plan it is kept as. */
export async function findDailyPlan(queries: CatalogQueries, databaseId: string): Promise<PlanRow | null> {
  return await queries.plan.findFirst({ where: { databaseId, origin: 'daily', deletedAt: null }, include });
}

export async function lockPlan(queries: CatalogQueries, id: string): Promise<void> {
  await queries.$queryRaw`SELECT "id" FROM "Plan" WHERE "id" = ${id} FOR UPDATE`;
}

export async function findPlans(queries: CatalogQueries, viewer: Viewer, query: ListPlansQuery) {
  const page: PageRequest = { list: 'plans', viewer, query };
  const rows = await queries.plan.findMany({
    where: {
      deletedAt: null,
      ...ownedBy(viewer),
      ...(query.databaseId === undefined ? {} : { databaseId: query.databaseId }),
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

export type PlanChanges = Partial<
  Pick<NewPlan, 'name' | 'destinationId' | 'schedule' | 'retention' | 'encryption' | 'keyId'> & { status: PlanStatus }
>;

/** Every change raises the revision, by which the reconciler knows that the Temporal Schedule is of an older one. */
export async function changePlan(queries: CatalogQueries, id: string, changes: PlanChanges): Promise<PlanRow> {
  const { schedule, retention, ...rest } = changes;
  return await queries.plan.update({
    where: { id },
    data: {
      ...rest,
      ...(schedule === undefined ? {} : { schedule: jsonObject(schedule) }),
      ...(retention === undefined ? {} : { retention: jsonColumn(retention) }),
      revision: { increment: 1 },
    },
    include,
  });
}

export async function markPlanDeleted(queries: CatalogQueries, id: string): Promise<void> {
  await queries.plan.update({ where: { id }, data: { deletedAt: new Date(), revision: { increment: 1 } } });
}

/** Ids of runs of a plan that are pending or in progress. */
export async function findActiveRunsOfPlan(queries: CatalogQueries, id: string): Promise<string[]> {
  const rows = await queries.backup.findMany({
    where: { planId: id, status: { in: ['pending', 'in_progress'] } },
    select: { id: true },
  });
  return rows.map((row) => row.id);
}

/** Every plan that should have a schedule, in pieces small enough for memory. */
export async function findPlansForSchedules(queries: CatalogQueries): Promise<PlanRow[]> {
  return await queries.plan.findMany({ where: { deletedAt: null }, include, orderBy: { id: 'asc' } });
}
