import { TidemarkError } from '../../domain/errors.js';
import { newId } from '../../domain/ids.js';
import type { Catalog, CatalogQueries } from '../client.js';
import type { Obstacle } from './claim-scheduled.js';
import { destinationObstacle } from './claim-scheduled.js';
import { noJson, toJson } from './run-json.js';

/** Key of a chain's run that is pending or in progress, and of the one full that may wait behind it. */
export const chainRunKey = (chainId: string) => chainId;
export const chainNextKey = (chainId: string) => `${chainId}/next`;

export type ClaimChainRun = {
  readonly chainId: string;
  readonly kind: 'full' | 'incremental';
  readonly label?: string | null;
  /** The attached database it is asked for; left out: the one that was attached first. */
  readonly databaseId?: string;
} & (
  | {
      readonly trigger: 'schedule';
      /** The same time asked again gives the same row. */
      readonly scheduledFor: Date;
      /** A run that is under way began before the reason for this one: a full waits behind a full too. */
      readonly anew?: boolean;
      /** A reason known to the caller why it must not run: the row is `skipped` and says so. */
      readonly refused?: { readonly code: string; readonly message: string };
    }
  | { readonly trigger: 'manual'; readonly requestedBy: string }
);

export type ChainClaim =
  | {
      readonly state: 'claimed';
      readonly backupId: string;
      /** Pending behind the run that the server is busy with; the chain entity takes it next. */
      readonly waits: boolean;
      readonly policyId: string;
      readonly serverId: string;
    }
  | { readonly state: 'skipped'; readonly backupId: string | null; readonly reason: string };

/**
 * Asks for a full or incremental of a chain's server in one transaction; whoever is answered `claimed` wakes the chain entity, which runs
 * it. A server has one run at a time. What is due while it is busy: a full waits behind an incremental (one at most), or behind a full that
 * began before a gap; everything else becomes a `skipped` row that names the run in the way. A manual request is refused instead: throws
 * `run_in_progress`, `not_found`, `destination_disabled`, `destination_deleted`. Does not ask whether the policy is paused.
 */
export async function claimChainRun(catalog: Catalog, input: ClaimChainRun): Promise<ChainClaim> {
  return await catalog.prisma.$transaction(async (tx) => {
    await tx.$queryRaw`select id from "Chain" where id = ${input.chainId} for update`;
    const chain = await readChain(tx, input.chainId);
    const attached = chain?.attachments.map(({ databaseId }) => databaseId) ?? [];
    const databaseId = input.databaseId ?? attached[0];
    if (chain === null || chain.endedAt !== null || databaseId === undefined || !attached.includes(databaseId)) {
      return refuse(input, 'not_found', `No database of the chain ${input.chainId} is attached any more.`);
    }
    const { policyId, serverId, policy } = chain;
    const before = input.trigger === 'schedule' ? await findClaimed(tx, input) : null;
    if (before !== null) {
      if (before.status === 'skipped') {
        return { state: 'skipped', backupId: before.id, reason: 'It was skipped when it was due.' };
      }
      const waits = before.activeKey === chainNextKey(chain.id);
      return { state: 'claimed', backupId: before.id, waits, policyId, serverId };
    }
    const place = await findPlace(tx, input, chain);
    const row = {
      id: newId('backup'),
      kind: input.kind,
      label: input.label ?? null,
      databaseId,
      chainId: chain.id,
      serverId,
      policyId,
      destinationId: policy.destinationId,
      keyId: policy.encryption ? policy.keyId : null,
      trigger: input.trigger,
      ...(input.trigger === 'schedule' ? { scheduledFor: input.scheduledFor } : { requestedBy: input.requestedBy }),
    };
    if ('reason' in place) {
      const { reason, blockedBy, code } = place;
      await tx.backup.create({
        data: {
          ...row,
          status: 'skipped',
          blockedBy,
          error: toJson({ code, message: reason }),
          completedAt: new Date(),
        },
      });
      return { state: 'skipped', backupId: row.id, reason };
    }
    await tx.backup.create({ data: { ...row, activeKey: place.activeKey } });
    const waits = place.activeKey === chainNextKey(chain.id);
    return { state: 'claimed', backupId: row.id, waits, policyId, serverId };
  });
}

async function readChain(tx: CatalogQueries, chainId: string) {
  return await tx.chain.findUnique({
    where: { id: chainId },
    include: {
      policy: { include: { destination: true } },
      attachments: {
        where: { activeKey: { not: null }, status: { not: 'detaching' } },
        orderBy: { createdAt: 'asc' },
        select: { databaseId: true },
      },
    },
  });
}
type ChainToClaim = NonNullable<Awaited<ReturnType<typeof readChain>>>;

/** What this firing was answered before; an incremental may have become a full meanwhile. */
async function findClaimed(tx: CatalogQueries, input: Extract<ClaimChainRun, { trigger: 'schedule' }>) {
  const kinds = [
    { kind: input.kind, fellBack: { equals: noJson } },
    ...(input.kind === 'incremental' ? [{ kind: 'full', fellBack: { not: noJson } }] : []),
  ];
  return await tx.backup.findFirst({
    where: { chainId: input.chainId, trigger: 'schedule', scheduledFor: input.scheduledFor, OR: kinds },
  });
}

async function findPlace(
  tx: CatalogQueries,
  input: ClaimChainRun,
  chain: ChainToClaim,
): Promise<{ activeKey: string } | Obstacle> {
  if (input.trigger === 'schedule' && input.refused !== undefined) {
    return { reason: input.refused.message, code: input.refused.code, blockedBy: null };
  }
  const obstacle = destinationObstacle(chain.policy.destination);
  if (obstacle !== null) {
    if (input.trigger === 'manual') throw new TidemarkError(obstacle.code, obstacle.reason);
    return obstacle;
  }
  const running = await tx.backup.findFirst({ where: { activeKey: chainRunKey(chain.id) } });
  const waiting = await tx.backup.findFirst({ where: { activeKey: chainNextKey(chain.id) } });
  if (running === null && waiting === null) return { activeKey: chainRunKey(chain.id) };
  if (input.trigger === 'schedule' && input.kind === 'full' && running !== null && waiting === null) {
    // A full that began before a gap opens no window after it: the one that the gap asks for is no duplicate.
    const isOfOldEpoch = running.status === 'in_progress' && running.epoch !== chain.archiveEpoch;
    const isBefore = input.anew === true && running.status === 'in_progress';
    if (running.kind === 'incremental' || isOfOldEpoch || isBefore) return { activeKey: chainNextKey(chain.id) };
  }
  const inTheWay = running ?? waiting;
  const reason = `The ${inTheWay?.kind} ${inTheWay?.id} of this server is ${inTheWay?.status.replace('_', ' ')}.`;
  if (input.trigger === 'manual') {
    throw new TidemarkError('run_in_progress', reason, {
      references: inTheWay === null ? [] : [inTheWay.id],
    });
  }
  return { reason, blockedBy: inTheWay?.id ?? null, code: 'run_in_progress' };
}

function refuse(input: ClaimChainRun, code: 'not_found', reason: string): ChainClaim {
  if (input.trigger === 'manual') throw new TidemarkError(code, reason, { object: input.chainId });
  return { state: 'skipped', backupId: null, reason };
}
