import type { DatabaseSettings } from './database-settings.js';
import { databaseOptions } from './database-settings.js';
import type { ObjectDefinition } from './definitions.js';
import { quoteIn, quoteName } from './quote.js';

/**
 * One CREATE statement with the session it needs, as text that fits the journal of a swap: a first line
 * `-- tidemark {json}`, then the statement.
 */
export type ProgramHead = {
  /** Database to use; the statements name none. */
  readonly use: string;
  readonly sqlMode: string | null;
  readonly characterSet: string | null;
  readonly connectionCollation: string | null;
  readonly timeZone: string | null;
  /** Try again after the other ones when it needs one of them (views on views). */
  readonly retry: boolean;
};

const MARK = '-- tidemark ';

export function programStatement(object: ObjectDefinition, database: string, statement = object.statement): string {
  const head: ProgramHead = {
    use: database,
    sqlMode: object.sqlMode,
    characterSet: object.characterSet,
    connectionCollation: object.connectionCollation,
    timeZone: object.timeZone,
    retry: object.type === 'view',
  };
  return `${MARK}${JSON.stringify(head)}\n${statement}`;
}

/** Null for a plain statement. */
export function parseProgram(text: string): { head: ProgramHead; statement: string } | null {
  if (!text.startsWith(MARK)) return null;
  const end = text.indexOf('\n');
  return { head: JSON.parse(text.slice(MARK.length, end)) as ProgramHead, statement: text.slice(end + 1) };
}

const words: Record<ObjectDefinition['type'], string> = {
  table: 'TABLE',
  sequence: 'SEQUENCE',
  view: 'VIEW',
  trigger: 'TRIGGER',
  procedure: 'PROCEDURE',
  function: 'FUNCTION',
  package: 'PACKAGE',
  'package body': 'PACKAGE BODY',
  event: 'EVENT',
};

export function dropStatement(object: ObjectDefinition, database: string): string {
  const statement = `DROP ${words[object.type]} IF EXISTS ${quoteIn(database, object.name)}`;
  // MariaDB 10.11 knows packages only under the sql_mode in which they were made.
  return object.type.startsWith('package') ? programStatement(object, database, statement) : statement;
}

/**
 * Statements that make the objects anew in `database`. An object remembers the default collation that its database had when it was
 * created, so the database is given that one meanwhile, as the dump tool does.
 */
export function createStatements(
  objects: readonly ObjectDefinition[],
  database: string,
  settings: DatabaseSettings,
): string[] {
  const statements: string[] = [];
  const collate = (collation: string) => `ALTER DATABASE ${quoteName(database)} COLLATE ${collation}`;
  for (const object of objects) {
    const other = object.databaseCollation !== null && object.databaseCollation !== settings.collation;
    if (other && /^\w+$/.test(object.databaseCollation ?? '')) statements.push(collate(object.databaseCollation ?? ''));
    statements.push(dropStatement(object, database), programStatement(object, database));
    if (other)
      statements.push(
        `ALTER DATABASE ${quoteName(database)} ${databaseOptions({ character_set: settings.character_set, collation: settings.collation })}`,
      );
  }
  return statements;
}
