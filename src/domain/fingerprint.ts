import { z } from 'zod';

/**
 * What a database contains (design section 1). Two fingerprints of equal content are equal as JSON after sorting, across server
 * minor versions of one major. Big numbers are text. `definition` is the full normalised text, so that a difference can be shown
 * and what a swap must recreate (MySQL events, triggers, views) can be checked afterwards.
 */
export const fingerprintSchema = z.object({
  version: z.literal(1),
  engine: z.enum(['postgresql', 'mysql', 'mariadb']),
  /** Encoding, collation, locale provider and so on of the database itself. */
  database: z.record(z.string(), z.string().nullable()),
  /** What the database has outside its content (owner, grants, settings), as its engine wrote it: given to a new copy, but not compared, because an existing target keeps its own. */
  outer: z.string().nullable().optional(),
  tables: z.array(
    z.object({
      /** `schema.table` on PostgreSQL (each part quoted as needed), `table` elsewhere. */
      name: z.string(),
      rows: z.string(),
      /** Order-independent checksum over all rows. */
      checksum: z.string(),
    }),
  ),
  /** Definitions, owners and grants of every object: tables, columns, indexes, constraints, views, routines, triggers, events, types, extensions, policies, schemas, comments… */
  objects: z.array(
    z.object({
      type: z.string(),
      name: z.string(),
      definition: z.string(),
      owner: z.string().nullable(),
      grants: z.array(z.string()),
    }),
  ),
  sequences: z.array(
    z.object({ name: z.string(), lastValue: z.string().nullable(), isCalled: z.boolean().nullable() }),
  ),
  autoIncrement: z.array(z.object({ table: z.string(), next: z.string() })),
  largeObjects: z.object({ count: z.string(), checksum: z.string() }).nullable(),
});
export type Fingerprint = z.infer<typeof fingerprintSchema>;

export type FingerprintDifference = {
  /** `table`, `object`, `sequence`, `autoIncrement`, `largeObjects` or `database`. */
  readonly area: string;
  readonly name: string;
  readonly expected: string | null;
  readonly found: string | null;
};

type Flat = Map<string, { area: string; name: string; value: string }>;

function flatten(print: Fingerprint): Flat {
  const flat: Flat = new Map();
  const add = (area: string, name: string, value: unknown) => {
    flat.set(`${area}\u0000${name}`, { area, name, value: typeof value === 'string' ? value : JSON.stringify(value) });
  };
  for (const [key, value] of Object.entries(print.database)) add('database', key, value ?? '');
  for (const table of print.tables) add('table', table.name, { rows: table.rows, checksum: table.checksum });
  for (const object of print.objects) {
    add('object', `${object.type} ${object.name}`, {
      definition: object.definition,
      owner: object.owner,
      grants: [...object.grants].sort(),
    });
  }
  for (const sequence of print.sequences)
    add('sequence', sequence.name, { lastValue: sequence.lastValue, isCalled: sequence.isCalled });
  for (const counter of print.autoIncrement) add('autoIncrement', counter.table, counter.next);
  if (print.largeObjects) add('largeObjects', 'all', print.largeObjects);
  return flat;
}

/** Every difference between what a backup recorded and what was found after a restore; empty means proven equal. */
export function compareFingerprints(expected: Fingerprint, found: Fingerprint): FingerprintDifference[] {
  const before = flatten(expected);
  const after = flatten(found);
  const differences: FingerprintDifference[] = [];
  for (const [key, { area, name, value }] of before) {
    const other = after.get(key);
    if (other?.value !== value) differences.push({ area, name, expected: value, found: other?.value ?? null });
  }
  for (const [key, { area, name, value }] of after) {
    if (!before.has(key)) differences.push({ area, name, expected: null, found: value });
  }
  return differences;
}

/** Tables and rows of a fingerprint, for summaries. */
export function countContent(print: Fingerprint): { tables: number; rows: string } {
  const rows = print.tables.reduce((sum, table) => sum + BigInt(table.rows), 0n);
  return { tables: print.tables.length, rows: rows.toString() };
}
