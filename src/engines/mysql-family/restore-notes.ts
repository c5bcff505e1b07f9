import type { Fingerprint } from '../../domain/fingerprint.js';
import { quoteIn } from './quote.js';
import { NOTES_TABLE } from './restore-names.js';
import type { Session } from './session.js';

/**
 * What a staging database cannot hold itself before it gets its final name, kept in a table inside it, so that the next activity, on
 * another connection and perhaps another machine, finds it: grants (they go by database name), events that must not fire yet, and the
 * counters at the exact position of the backup.
 */
export type RestoreNotes = {
  /** By `type name` of the object. */
  readonly grants: Readonly<Record<string, readonly string[]>>;
  /** Values of the fingerprint's `database` that describe the server around it. */
  readonly surroundings: Readonly<Record<string, string | null>>;
  readonly counters: Pick<Fingerprint, 'sequences' | 'autoIncrement'> | null;
  /** Events that are enabled in the backup and disabled in staging. */
  readonly enabledEvents: readonly string[];
};

/** Keys of `Fingerprint.database` that are not settings of the database itself. */
export const surroundingKeys = ['grants_read', 'accounts'] as const;

export function notesFrom(like: Fingerprint | null): RestoreNotes {
  if (like === null) return { grants: {}, surroundings: {}, counters: null, enabledEvents: [] };
  const surroundings: Record<string, string | null> = {};
  for (const key of surroundingKeys) surroundings[key] = like.database[key] ?? null;
  return {
    grants: Object.fromEntries(
      like.objects.flatMap((object) =>
        object.grants.length > 0 ? [[`${object.type} ${object.name}`, object.grants]] : [],
      ),
    ),
    surroundings,
    counters: { sequences: like.sequences, autoIncrement: like.autoIncrement },
    enabledEvents: [],
  };
}

const table = (database: string) => quoteIn(database, NOTES_TABLE);

export async function createNotes(session: Session, database: string, notes: RestoreNotes): Promise<void> {
  await session.rows(
    `CREATE TABLE ${table(database)} (id INT PRIMARY KEY, notes LONGTEXT NOT NULL) CHARACTER SET utf8mb4`,
  );
  await session.rows(`INSERT INTO ${table(database)} VALUES (1, ?)`, [JSON.stringify(notes)]);
}

export async function saveNotes(session: Session, database: string, notes: RestoreNotes): Promise<void> {
  await session.rows(`UPDATE ${table(database)} SET notes = ? WHERE id = 1`, [JSON.stringify(notes)]);
}

/** Null when the database has none: it is not a staging database, or one in its first moment. */
export async function readNotes(session: Session, database: string): Promise<RestoreNotes | null> {
  const there = await session.value(
    'SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?',
    [database, NOTES_TABLE],
  );
  if (there === '0') return null;
  const text = await session.value(`SELECT notes FROM ${table(database)} WHERE id = 1`);
  return text === null ? null : (JSON.parse(text) as RestoreNotes);
}
