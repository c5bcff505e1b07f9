import { TidemarkError } from '../../domain/errors.js';
import type { Brand } from './brand.js';
import { placeOf } from './failures.js';
import { quoteName, quoteText } from './quote.js';
import type { Session } from './session.js';

/** Settings of a database itself; a dump without `--databases` does not carry them. */
export type DatabaseSettings = {
  readonly character_set: string;
  readonly collation: string;
  /** MySQL: `YES` or `NO`. */
  readonly encryption?: string;
  /** MariaDB. */
  readonly comment?: string;
};

/** Null when there is no such database, or the role may not see it. */
export async function findDatabaseSettings(
  session: Session,
  brand: Brand,
  schema: string,
): Promise<DatabaseSettings | null> {
  const extra = brand.kind === 'mysql' ? 'DEFAULT_ENCRYPTION AS extra' : 'SCHEMA_COMMENT AS extra';
  const [row] = await session.rows(
    `SELECT DEFAULT_CHARACTER_SET_NAME AS character_set, DEFAULT_COLLATION_NAME AS collation, ${extra}
     FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?`,
    [schema],
    'Reading the database settings failed',
  );
  if (!row) return null;
  const base = { character_set: row.character_set ?? '', collation: row.collation ?? '' };
  return brand.kind === 'mysql' ? { ...base, encryption: row.extra ?? 'NO' } : { ...base, comment: row.extra ?? '' };
}

export async function readDatabaseSettings(session: Session, brand: Brand, schema: string): Promise<DatabaseSettings> {
  const found = await findDatabaseSettings(session, brand, schema);
  if (found) return found;
  throw new TidemarkError(
    'database_missing',
    `There is no database ${schema}, or the role may not see it (${placeOf({ ...session.connection, database: schema })}).`,
    { object: schema },
  );
}

/** The part of CREATE DATABASE and ALTER DATABASE after the name. Names of character sets are checked, because they stand unquoted. */
export function databaseOptions(settings: Partial<DatabaseSettings>): string {
  const parts: string[] = [];
  for (const [word, value] of [
    ['CHARACTER SET', settings.character_set],
    ['COLLATE', settings.collation],
  ] as const) {
    if (value === undefined || value === '') continue;
    if (!/^[A-Za-z0-9_]+$/.test(value))
      throw new TidemarkError('load_failed', `"${value}" is not the name of a ${word}.`);
    parts.push(`${word} ${value}`);
  }
  if (settings.encryption !== undefined)
    parts.push(`ENCRYPTION ${quoteText(settings.encryption === 'YES' ? 'Y' : 'N')}`);
  if (settings.comment !== undefined) parts.push(`COMMENT ${quoteText(settings.comment)}`);
  return parts.join(' ');
}

export function createDatabaseStatement(name: string, settings: Partial<DatabaseSettings>): string {
  return `CREATE DATABASE ${quoteName(name)} ${databaseOptions(settings)}`.trimEnd();
}
