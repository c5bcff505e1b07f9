import type { PageQuery } from '../domain/schemas/common.js';
import type { AttachmentStatus, PitrStatus } from '../domain/statuses.js';
import type { CatalogQueries } from './client.js';
import { Prisma } from './generated/client.js';
import type { PageRequest } from './paging.js';
import { afterKeyset, cutPage, newestFirst, readCursor } from './paging.js';
import type { Viewer } from './scope.js';

const include = {
  policy: { include: { destination: true } },
  database: { include: { server: true } },
  chain: { include: { server: true } },
} as const;
export type AttachmentRow = Prisma.AttachmentGetPayload<{ include: typeof include }>;

/** Seen by whoever owns the policy; who may ask for one database was decided where the id was read. */
const visible = (viewer: Viewer): Prisma.AttachmentWhereInput =>
  viewer.role === 'admin' ? {} : { policy: { ownerId: viewer.userId } };

/** Inserts an attachment that claims its database. A unique violation means that the database has a policy. */
export async function insertAttachment(
  queries: CatalogQueries,
  data: {
    id: string;
    policyId: string;
    databaseId: string;
    pitrStatus: PitrStatus;
    accepted: readonly string[];
    requestedBy: string;
  },
): Promise<AttachmentRow> {
  return await queries.attachment.create({
    data: { ...data, accepted: [...data.accepted], activeKey: data.databaseId },
    include,
  });
}

/** The attachment that a database has now, or null. Also one that is being detached. */
export async function findLiveAttachment(queries: CatalogQueries, databaseId: string): Promise<AttachmentRow | null> {
  return await queries.attachment.findUnique({ where: { activeKey: databaseId }, include });
}

export async function findAttachment(
  queries: CatalogQueries,
  viewer: Viewer,
  id: string,
): Promise<AttachmentRow | null> {
  return await queries.attachment.findFirst({ where: { id, ...visible(viewer) }, include });
}

/** The databases attached to a policy now, newest first. */
export async function findAttachments(
  queries: CatalogQueries,
  viewer: Viewer,
  input: { policyId: string; query: PageQuery },
) {
  const page: PageRequest = { list: `attachments of ${input.policyId}`, viewer, query: input.query };
  const rows = await queries.attachment.findMany({
    where: {
      policyId: input.policyId,
      activeKey: { not: null },
      AND: [visible(viewer), afterKeyset(readCursor(page))],
    },
    include,
    orderBy: [...newestFirst],
    take: input.query.limit + 1,
  });
  return cutPage(page, rows, (row) => row.createdAt);
}

export type AttachmentChanges = {
  status?: AttachmentStatus;
  pitrStatus?: PitrStatus;
  accepted?: readonly string[];
  forgetError?: boolean;
  forgetPitrError?: boolean;
};

export async function changeAttachment(
  queries: CatalogQueries,
  id: string,
  changes: AttachmentChanges,
): Promise<AttachmentRow> {
  const { accepted, forgetError = false, forgetPitrError = forgetError, ...rest } = changes;
  return await queries.attachment.update({
    where: { id },
    data: {
      ...rest,
      ...(accepted === undefined ? {} : { accepted: [...accepted] }),
      ...(forgetError ? { lastError: Prisma.DbNull } : {}),
      ...(forgetPitrError ? { pitrError: Prisma.DbNull } : {}),
    },
    include,
  });
}

/** The attached databases of a policy, for a change that concerns each. */
export async function findLiveAttachmentsOfPolicy(queries: CatalogQueries, policyId: string): Promise<AttachmentRow[]> {
  return await queries.attachment.findMany({ where: { policyId, activeKey: { not: null } }, include });
}

/** Forgets the failures of every attachment of a policy. */
export async function resetFailuresOfPolicy(queries: CatalogQueries, policyId: string): Promise<void> {
  await resetFailuresOf(queries, { policyId });
}

/** None failed in a row. Why a database could not be attached is no failure of a run: it stands until that is tried again. */
export async function resetFailuresOf(
  queries: CatalogQueries,
  of: { readonly policyId: string } | { readonly chainId: string },
): Promise<void> {
  const where = { ...of, activeKey: { not: null } };
  await queries.attachment.updateMany({ where, data: { consecutiveFailures: 0 } });
  await queries.attachment.updateMany({
    where: { ...where, status: { not: 'error' } },
    data: { lastError: Prisma.DbNull },
  });
}

/** Attachments that wait for a workflow: those not set up yet, those whose PITR is to be configured, and those on their way out. */
export async function findWaitingAttachments(queries: CatalogQueries): Promise<AttachmentRow[]> {
  return await queries.attachment.findMany({
    where: {
      activeKey: { not: null },
      OR: [
        { status: { in: ['configuring', 'detaching'] } },
        { status: 'active', pitrStatus: 'configuring', policy: { pitr: true } },
      ],
    },
    include,
    orderBy: { createdAt: 'asc' },
  });
}
