import type { RestoreNote } from '../../domain/schemas/restores.js';
import { restoreNotesSchema } from '../../domain/schemas/restores.js';
import type { Catalog } from '../client.js';
import { toJson } from './run-json.js';

/**
 * Adds what a reader of the result must know beside it. A note replaces one of the same code, so that a try that is repeated says it once.
 * Only the holder of the token may write; false when it is fenced.
 */
export async function noteOnRestore(
  catalog: Catalog,
  restoreId: string,
  token: number,
  notes: readonly RestoreNote[],
): Promise<boolean> {
  return await catalog.prisma.$transaction(async (tx) => {
    await tx.$queryRaw`select id from "Restore" where id = ${restoreId} for update`;
    const row = await tx.restore.findUnique({ where: { id: restoreId }, select: { notes: true } });
    const before = restoreNotesSchema.catch([]).parse(row?.notes);
    const kept = before.filter((old) => !notes.some(({ code }) => code === old.code));
    const { count } = await tx.restore.updateMany({
      where: { id: restoreId, fencingToken: token, status: 'in_progress' },
      data: { notes: toJson([...kept, ...notes]) },
    });
    return count === 1;
  });
}
