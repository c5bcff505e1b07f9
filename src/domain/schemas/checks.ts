import { z } from 'zod';
import { timestamp } from './common.js';

export const findingSchema = z
  .object({
    severity: z.enum(['refuses', 'warns', 'info']).meta({
      description:
        '`refuses` makes a backup impossible, `warns` leaves something out or is risky, `info` is only said.',
    }),
    code: z.string().meta({ description: 'Stable snake_case name.', example: 'missing_privilege' }),
    message: z.string(),
    statement: z.string().nullable().meta({ description: 'The exact statement that mends it, when one does.' }),
  })
  .meta({ id: 'Finding', description: 'One thing found at a check.' });
export type Finding = z.infer<typeof findingSchema>;

/** Answer of `POST /v1/databases/{id}/check` and `POST /v1/destinations/{id}/check`. */
export const checkResultSchema = z
  .object({
    ok: z.boolean().meta({ description: 'True when no finding refuses.' }),
    checkedAt: timestamp.nullable().meta({ description: 'When the last finished check ran; null when none did.' }),
    findings: z.array(findingSchema),
  })
  .meta({ id: 'CheckResult', description: 'What a check found; given within 30 s.' });
export type CheckResult = z.infer<typeof checkResultSchema>;
