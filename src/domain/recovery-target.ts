import { z } from 'zod';
import type { EngineKind } from './engine-kinds.js';

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

const positionForms: Record<EngineKind, { readonly form: RegExp; readonly example: string }> = {
  postgresql: { form: /^[0-9a-f]{1,8}\/[0-9a-f]{1,8}$/i, example: 'an LSN such as 16/B374D848' },
  mysql: {
    form: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(:[a-z_][a-z0-9_]{0,31})?:[0-9]{1,19}$/i,
    example: 'the GTID of one transaction, such as 3e11fa47-71ca-11e1-9e33-c80aa9429562:23',
  },
  mariadb: { form: /^[0-9]{1,10}-[0-9]{1,10}-[0-9]{1,20}$/, example: 'the GTID of one transaction, such as 0-1-25' },
};

/** What a position of an engine's log has to be, when a text is none; else null. */
export function positionFault(engine: EngineKind, text: string): string | null {
  const { form, example } = positionForms[engine];
  return form.test(text.trim()) ? null : `must be ${example}`;
}
