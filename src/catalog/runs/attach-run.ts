import { TidemarkError } from '../../domain/errors.js';
import { newId } from '../../domain/ids.js';
import type { AttachmentStatus, PitrStatus } from '../../domain/statuses.js';
import type { Catalog, CatalogQueries } from '../client.js';
import { chainNextKey, chainRunKey } from './claim-chain.js';
import { hasPresentFull } from './present-full.js';
import { noJson, toJson } from './run-json.js';

/** What the workflows that attach and detach a database read and note. */

type ErrorRecord = { readonly code: string; readonly message: string };

/** The attachment with all that its inspection needs; null when it is gone or on its way out. */
export async function readAttachRun(catalog: Catalog, attachmentId: string) {
  const row = await catalog.prisma.attachment.findUnique({
    where: { id: attachmentId },
    include: {
      policy: true,
      database: { include: { server: true } },
      chain: { include: { server: true } },
    },
  });
  return isLeaving(row) ? null : row;
}
export type AttachRun = NonNullable<Awaited<ReturnType<typeof readAttachRun>>>;

/** As `readAttachRun`, where there has to be a chain by now. Throws `not_found`. */
export async function requireAttachRun(catalog: Catalog, attachmentId: string) {
  const row = await readAttachRun(catalog, attachmentId);
  if (row === null || row.chain === null) {
    throw new TidemarkError('not_found', `The attachment ${attachmentId} is gone.`, { object: attachmentId });
  }
  return { ...row, chain: row.chain };
}

/** Notes what an inspection found, also when it refuses. */
export async function recordFindings(catalog: Catalog, attachmentId: string, findings: unknown): Promise<void> {
  await catalog.prisma.attachment.updateMany({ where: { id: attachmentId }, data: { findings: toJson(findings) } });
}

const isLeaving = (row: { activeKey: string | null; status: string } | null) =>
  row === null || row.activeKey === null || row.status === 'detaching';

/**
 * The chain of a server under a policy, made when there is none, with the attachment tied to it. Null: it is gone or on its way out, and a
 * chain that has ended stays so.
 */
export async function joinChain(
  catalog: Catalog,
  { attachmentId, policyId, serverId }: { attachmentId: string; policyId: string; serverId: string },
): Promise<string | null> {
  return await catalog.prisma.$transaction(async (tx) => {
    await tx.$queryRaw`select id from "Attachment" where id = ${attachmentId} for update`;
    if (isLeaving(await tx.attachment.findUnique({ where: { id: attachmentId } }))) return null;
    const id = newId('chain');
    const chain = await tx.chain.upsert({
      where: { policyId_serverId: { policyId, serverId } },
      // Lower case, digits and underscores: what a slot may be called.
      create: { id, policyId, serverId, slotName: `tidemark_${id}` },
      update: { endedAt: null },
    });
    await tx.attachment.update({ where: { id: attachmentId }, data: { chainId: chain.id } });
    return chain.id;
  });
}

/**
 * Something that holds the log is about to be made on the source, or has been: whoever finds that no archive is wanted releases it. Noted
 * first, because whoever lets the database go meanwhile would else take the source for untouched.
 */
export async function noteHeld(queries: CatalogQueries, chainId: string): Promise<void> {
  await queries.chain.updateMany({
    where: { id: chainId, archiveStatus: { in: ['off', 'stopped'] } },
    data: { archiveStatus: 'starting', archiveSeenAt: new Date() },
  });
}

/**
 * The log of a chain is to be archived from now on. False when the database was let go, or PITR switched off, while the source was being
 * configured: then what was made there is released like that of any archive that is not wanted any more.
 */
export async function wantArchive(catalog: Catalog, attachmentId: string): Promise<boolean> {
  return await catalog.prisma.$transaction(async (tx) => {
    const { chainId } = await tx.attachment.findUniqueOrThrow({ where: { id: attachmentId } });
    if (chainId === null) return false;
    await tx.$queryRaw`select id from "Chain" where id = ${chainId} for update`;
    await noteHeld(tx, chainId);
    // Read under the lock, which a detach and a change of the policy take too: what they take back, they take back after this.
    const row = await tx.attachment.findUniqueOrThrow({ where: { id: attachmentId }, include: { policy: true } });
    if (isLeaving(row) || !row.policy.pitr) return false;
    await tx.chain.update({ where: { id: chainId }, data: { archiveWanted: true } });
    return true;
  });
}

export async function notePitrError(catalog: Catalog, attachmentId: string, error: ErrorRecord): Promise<void> {
  await catalog.prisma.attachment.updateMany({
    where: { id: attachmentId, activeKey: { not: null } },
    data: { pitrStatus: 'error', pitrError: toJson(error) },
  });
}

/** Whoever of a chain was proven in a sandbox last; one proof is for the server, not for a database. */
export async function findSandboxProof(catalog: Catalog, chainId: string): Promise<Date | null> {
  const row = await catalog.prisma.attachment.findFirst({
    where: { chainId, sandboxProvenAt: { not: null } },
    orderBy: { sandboxProvenAt: 'desc' },
    select: { sandboxProvenAt: true },
  });
  return row?.sandboxProvenAt ?? null;
}

/** A database that joins a chain is in the full that was there already. */
export async function noteJoinedFull(catalog: Catalog, attachmentId: string, takenAt: Date): Promise<void> {
  await catalog.prisma.attachment.updateMany({
    where: { id: attachmentId, lastFullAt: null },
    data: { lastFullAt: takenAt },
  });
}

export async function noteSandboxProof(catalog: Catalog, attachmentId: string, at: Date): Promise<void> {
  await catalog.prisma.attachment.updateMany({ where: { id: attachmentId }, data: { sandboxProvenAt: at } });
}

/**
 * Brings an attachment's state to what came about. An error makes it `error`, unless it has been protected before: then a step that failed
 * now (another try at PITR) does not take that away. PITR is active only when the log is archived and a full of the present stretch is there.
 */
export async function settleAttachment(
  catalog: Catalog,
  attachmentId: string,
  error: ErrorRecord | null,
): Promise<{ status: AttachmentStatus; code: string | null }> {
  const row = await readAttachRun(catalog, attachmentId);
  if (row === null) return { status: 'detached', code: null };
  const isProtected = error === null || (row.status === 'active' && row.sandboxProvenAt !== null);
  const status = isProtected ? 'active' : 'error';
  const followed =
    row.chain?.archiveWanted === true &&
    isArchived(row.chain.archiveStatus, row.pitrError) &&
    row.chain.coveredTo !== null &&
    (await hasPresentFull(catalog, row.chain.id));
  // Switched on while this was under way, which did nothing for it: the reconcile loop sees to it.
  const isUntried =
    error === null && status === 'active' && row.pitrError === null && row.chain?.archiveWanted === false;
  const pitrStatus: PitrStatus = !row.policy.pitr
    ? 'disabled'
    : followed
      ? 'active'
      : isUntried
        ? 'configuring'
        : 'error';
  await catalog.prisma.attachment.updateMany({
    where: { id: attachmentId, activeKey: { not: null }, status: { not: 'detaching' } },
    data: {
      status,
      lastError: error === null ? noJson : toJson(error),
      pitrStatus,
      // Why it is not active is known better by whoever noted it before.
      ...(pitrStatus !== 'error'
        ? { pitrError: noJson }
        : row.pitrError === null && error !== null
          ? { pitrError: toJson(error) }
          : {}),
    },
  });
  return { status, code: error?.code ?? null };
}

/**
 * A follower that is just begun anew, because this very database joined its sources, or that is interrupted breaks no stretch of log: as on
 * the other databases of the chain, only what was noted of this one, when its archive did not begin or its log had a gap, speaks against it.
 */
function isArchived(status: string, noted: unknown): boolean {
  if (status === 'following') return true;
  return noted === null && (status === 'starting' || status === 'error');
}

export type BegunDetach = {
  readonly chain: { readonly chainId: string; readonly policyId: string; readonly serverId: string } | null;
  readonly last: boolean;
  readonly runs: readonly string[];
};

/** Marks an attachment as leaving; with the last one of a chain its archive is not wanted any more and its runs are to be cancelled. */
export async function beginDetach(catalog: Catalog, attachmentId: string): Promise<BegunDetach | null> {
  return await catalog.prisma.$transaction(async (tx) => {
    const row = await tx.attachment.findUnique({ where: { id: attachmentId } });
    if (row === null || row.activeKey === null) return null;
    await tx.attachment.update({ where: { id: attachmentId }, data: { status: 'detaching' } });
    if (row.chainId === null) return { chain: null, last: true, runs: [] };
    await tx.$queryRaw`select id from "Chain" where id = ${row.chainId} for update`;
    const chain = await tx.chain.findUniqueOrThrow({ where: { id: row.chainId } });
    const place = { chainId: chain.id, policyId: chain.policyId, serverId: chain.serverId };
    const others = await tx.attachment.count({
      where: { chainId: chain.id, id: { not: attachmentId }, activeKey: { not: null }, status: { not: 'detaching' } },
    });
    if (others > 0) return { chain: place, last: false, runs: [] };
    await tx.chain.update({ where: { id: chain.id }, data: { archiveWanted: false } });
    const runs = await tx.backup.findMany({
      where: { activeKey: { in: [chainRunKey(chain.id), chainNextKey(chain.id)] } },
      select: { id: true },
    });
    const ids = runs.map((run) => run.id);
    await tx.backup.updateMany({
      where: { id: { in: ids }, cancelRequestedAt: null },
      data: { cancelRequestedAt: new Date() },
    });
    return { chain: place, last: true, runs: ids };
  });
}

export async function finishDetach(catalog: Catalog, attachmentId: string): Promise<void> {
  await catalog.prisma.$transaction(async (tx) => {
    const { count } = await tx.attachment.updateMany({
      where: { id: attachmentId, activeKey: { not: null } },
      data: { status: 'detached', activeKey: null, detachedAt: new Date(), pitrStatus: 'disabled', pitrError: noJson },
    });
    if (count === 0) return;
    const row = await tx.attachment.findUniqueOrThrow({ where: { id: attachmentId } });
    if (row.chainId === null) return;
    const others = await tx.attachment.count({ where: { chainId: row.chainId, activeKey: { not: null } } });
    if (others === 0) await tx.chain.update({ where: { id: row.chainId }, data: { endedAt: new Date() } });
  });
}
