import { z } from 'zod';
import type { DatabaseMoment } from '../open-moment.js';

/** AUTO_INCREMENT and sequences of all databases at the full's position, which the dump tool cannot read from its snapshot. */
export const COUNTERS_FILE = 'counters.json';

const countersSchema = z.array(
  z.object({
    database: z.string(),
    autoIncrement: z.array(z.object({ table: z.string(), next: z.string() })),
    sequences: z.array(
      z.object({ name: z.string(), lastValue: z.string().nullable(), isCalled: z.boolean().nullable() }),
    ),
  }),
);

export function countersFile(databases: readonly DatabaseMoment[]): Buffer {
  const content: z.infer<typeof countersSchema> = databases.map(({ schema, counters }) => ({
    database: schema,
    ...counters,
  }));
  return Buffer.from(JSON.stringify(content), 'utf8');
}

export function parseCountersFile(body: Buffer): z.infer<typeof countersSchema> {
  return countersSchema.parse(JSON.parse(body.toString('utf8')));
}
