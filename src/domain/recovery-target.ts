import { z } from 'zod';

/**
 * Where a recovery stops (design section 5). A time means: everything before the first transaction in log order whose commit time is later than it.
 * `before` stops short of a transaction that lies exactly there. `position`: an LSN, or the GTID of the last transaction wanted.
 */
export const recoveryTargetSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('end_of_backup') }),
  z.object({ kind: z.literal('latest') }),
  z.object({ kind: z.literal('time'), time: z.string(), before: z.boolean() }),
  z.object({ kind: z.literal('position'), position: z.string(), before: z.boolean() }),
]);
export type RecoveryTarget = z.infer<typeof recoveryTargetSchema>;

/** A transaction in a log: its position (LSN or GTID) and the source's commit time, as far as the log tells. */
export type StopPoint = { readonly position: string | null; readonly at: string | null };
