import { TidemarkError } from '../../domain/errors.js';
import { newId } from '../../domain/ids.js';
import type { Catalog, CatalogQueries } from '../client.js';
import { toJson } from './run-json.js';

export type JournalPurpose = 'swap' | 'revert';
export type JournalRow = {
  readonly id: string;
  readonly restoreId: string;
  readonly purpose: JournalPurpose;
  /** The swap plan as the engine made it. */
  readonly plan: unknown;
  readonly applied: number;
  readonly state: 'open' | 'done' | 'undone';
  readonly createdAt: Date;
  readonly finishedAt: Date | null;
};

export async function readJournal(
  catalog: Catalog,
  restoreId: string,
  purpose: JournalPurpose,
): Promise<JournalRow | null> {
  const row = await catalog.prisma.swapJournal.findUnique({ where: { restoreId_purpose: { restoreId, purpose } } });
  return row as JournalRow | null;
}

/** Writes the plan before its first step. A journal that was undone is begun again; an open one is returned as it is. */
export async function openJournal(
  catalog: Catalog,
  token: number,
  input: { restoreId: string; purpose: JournalPurpose; plan: unknown },
): Promise<JournalRow> {
  return await underToken(catalog, input.restoreId, token, async (tx) => {
    const key = { restoreId: input.restoreId, purpose: input.purpose };
    const before = await tx.swapJournal.findUnique({ where: { restoreId_purpose: key } });
    if (before === null) {
      const row = await tx.swapJournal.create({ data: { id: newId('journal'), ...key, plan: toJson(input.plan) } });
      return row as JournalRow;
    }
    if (before.state !== 'undone') return before as JournalRow;
    const row = await tx.swapJournal.update({
      where: { id: before.id },
      data: { plan: toJson(input.plan), applied: 0, state: 'open', createdAt: new Date(), finishedAt: null },
    });
    return row as JournalRow;
  });
}

/** Records how many steps stand applied, if this try still holds the token. */
export async function recordApplied(
  catalog: Catalog,
  token: number,
  journal: JournalRow,
  applied: number,
): Promise<void> {
  await underToken(catalog, journal.restoreId, token, async (tx) => {
    await tx.swapJournal.update({ where: { id: journal.id }, data: { applied } });
  });
}

/**
 * Closes a journal. With `done` the restore's row learns in the same transaction where the former content is and how long
 * applications were shut out: from the journal's first writing, so that the time of a crash in between counts too.
 */
export async function finishJournal(
  catalog: Catalog,
  token: number,
  journal: JournalRow,
  outcome: { state: 'done'; previousName: string | null } | { state: 'undone' },
): Promise<{ shutOutSeconds: number }> {
  return await underToken(catalog, journal.restoreId, token, async (tx) => {
    const finishedAt = new Date();
    const shutOutSeconds = Math.max(0, (finishedAt.getTime() - journal.createdAt.getTime()) / 1000);
    await tx.swapJournal.update({ where: { id: journal.id }, data: { state: outcome.state, finishedAt } });
    if (outcome.state === 'done') {
      await tx.restore.update({
        where: { id: journal.restoreId },
        data: {
          previousName: outcome.previousName,
          previousUntil: null,
          // The staging name stays: where tables move, an emptied database of that name is still to be dropped.
          ...(journal.purpose === 'swap' ? { shutOutSeconds } : {}),
        },
      });
    }
    return { shutOutSeconds };
  });
}

async function underToken<T>(
  catalog: Catalog,
  restoreId: string,
  token: number,
  act: (tx: CatalogQueries) => Promise<T>,
): Promise<T> {
  return await catalog.prisma.$transaction(async (tx) => {
    const rows = await tx.$queryRaw<{ fencingToken: number }[]>`
      select "fencingToken" from "Restore" where id = ${restoreId} for update`;
    if (rows[0]?.fencingToken !== token) {
      throw new TidemarkError('fenced', `A newer attempt of ${restoreId} has taken over; this one stops.`, {
        object: restoreId,
      });
    }
    return await act(tx);
  });
}
