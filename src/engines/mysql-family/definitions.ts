import { quoteName } from './quote.js';
import type { Row, Session } from './session.js';
import type { TableEntry } from './table-shapes.js';
import { plainTrigger } from './trigger-text.js';

export type ObjectType =
  | 'table'
  | 'view'
  | 'sequence'
  | 'trigger'
  | 'procedure'
  | 'function'
  | 'package'
  | 'package body'
  | 'event';

/** One object as the server would recreate it, with the session settings that its text depends on. */
export type ObjectDefinition = {
  readonly type: ObjectType;
  readonly name: string;
  /** The CREATE statement as printed by the server while the object's own database is in use. */
  readonly statement: string;
  /** `user@host`, null where there is none (tables, sequences). */
  readonly definer: string | null;
  readonly sqlMode: string | null;
  readonly characterSet: string | null;
  readonly connectionCollation: string | null;
  readonly databaseCollation: string | null;
  readonly timeZone: string | null;
};

/** AUTO_INCREMENT is content, kept apart; it stands right after the engine in the line of the table's options. */
function withoutAutoIncrement(statement: string): string {
  return statement.replace(/^(\) ENGINE=\S+) AUTO_INCREMENT=\d+/m, '$1');
}

/** A collation implies its character set; whether the server prints both depends on how the column was once declared. */
function withoutImpliedCharacterSet(statement: string): string {
  return statement.replace(
    /^( {2}`(?:[^`]|``)+` [^'\n]*?) CHARACTER SET (\w+) COLLATE (\2_\w+|binary)\b/gm,
    '$1 COLLATE $3',
  );
}

/** A body created by a client that sends several statements at once may end with their separator. */
function withoutLastSemicolon(statement: string): string {
  return statement.replace(/[;\s]+$/, '');
}

/** First value whose column name matches; SHOW CREATE names its columns after the object type. */
function pick(row: Row, pattern: RegExp): string | null {
  const key = Object.keys(row).find((name) => pattern.test(name));
  return key === undefined ? null : (row[key] ?? null);
}

async function showCreate(session: Session, what: string, type: ObjectType, name: string, definer: string | null) {
  const [row] = await session.rows(
    `SHOW CREATE ${what} ${quoteName(name)}`,
    [],
    `Reading the definition of ${type} ${name} failed`,
  );
  const text = row ? pick(row, /^(Create |SQL Original Statement)/i) : null;
  return {
    type,
    name,
    // Null: the role may see that the routine exists but not its body.
    statement: withoutLastSemicolon(text ?? ''),
    definer,
    sqlMode: row?.sql_mode ?? null,
    characterSet: row?.character_set_client ?? null,
    connectionCollation: row?.collation_connection ?? null,
    databaseCollation: row?.['Database Collation'] ?? null,
    timeZone: row?.time_zone ?? null,
  } satisfies ObjectDefinition;
}

const routineKinds: Record<string, { what: string; type: ObjectType }> = {
  PROCEDURE: { what: 'PROCEDURE', type: 'procedure' },
  FUNCTION: { what: 'FUNCTION', type: 'function' },
  PACKAGE: { what: 'PACKAGE', type: 'package' },
  'PACKAGE BODY': { what: 'PACKAGE BODY', type: 'package body' },
};

/** Triggers in the order in which they fire. */
export async function listTriggers(session: Session, schema: string): Promise<Row[]> {
  return session.rows(
    `SELECT TRIGGER_NAME AS name, DEFINER AS definer, EVENT_OBJECT_TABLE AS table_name FROM information_schema.TRIGGERS
     WHERE TRIGGER_SCHEMA = ? ORDER BY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER`,
    [schema],
    'Listing the triggers failed',
  );
}

async function routinesOf(session: Session, schema: string): Promise<ObjectDefinition[]> {
  const list = await session.rows(
    `SELECT ROUTINE_NAME AS name, ROUTINE_TYPE AS type, DEFINER AS definer FROM information_schema.ROUTINES
     WHERE ROUTINE_SCHEMA = ? ORDER BY ROUTINE_TYPE, ROUTINE_NAME`,
    [schema],
    'Listing the routines failed',
  );
  const found: ObjectDefinition[] = [];
  for (const row of list) {
    const kind = routineKinds[row.type ?? ''];
    // External-language libraries and what later versions add: named by their type, never silently left out.
    if (!kind) throw new Error(`Unknown routine type ${row.type}`);
    found.push(await showCreate(session, kind.what, kind.type, row.name ?? '', row.definer ?? null));
  }
  return found;
}

/** Events with their state as created (`ENABLE` …). */
export async function eventsOf(session: Session, schema: string): Promise<ObjectDefinition[]> {
  const list = await session.rows(
    'SELECT EVENT_NAME AS name, DEFINER AS definer FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ? ORDER BY EVENT_NAME',
    [schema],
    'Listing the events failed',
  );
  const found: ObjectDefinition[] = [];
  for (const row of list) found.push(await showCreate(session, 'EVENT', 'event', row.name ?? '', row.definer ?? null));
  return found;
}

export async function triggersOf(session: Session, schema: string): Promise<ObjectDefinition[]> {
  const found: ObjectDefinition[] = [];
  for (const row of await listTriggers(session, schema)) {
    const trigger = await showCreate(session, 'TRIGGER', 'trigger', row.name ?? '', row.definer ?? null);
    found.push({ ...trigger, statement: plainTrigger(trigger.statement, row.table_name ?? '') });
  }
  return found;
}

async function viewsOf(session: Session, schema: string): Promise<ObjectDefinition[]> {
  const list = await session.rows(
    'SELECT TABLE_NAME AS name, DEFINER AS definer FROM information_schema.VIEWS WHERE TABLE_SCHEMA = ? ORDER BY TABLE_NAME',
    [schema],
    'Listing the views failed',
  );
  const found: ObjectDefinition[] = [];
  for (const row of list) found.push(await showCreate(session, 'VIEW', 'view', row.name ?? '', row.definer ?? null));
  return found;
}

/** Tables and sequences. */
async function tablesOf(session: Session, tables: readonly TableEntry[]): Promise<ObjectDefinition[]> {
  const found: ObjectDefinition[] = [];
  for (const table of tables) {
    if (table.kind === 'view') continue;
    const object =
      table.kind === 'sequence'
        ? await showCreate(session, 'SEQUENCE', 'sequence', table.name, null)
        : await showCreate(session, 'TABLE', 'table', table.name, null);
    found.push({ ...object, statement: withoutImpliedCharacterSet(withoutAutoIncrement(object.statement)) });
  }
  return found;
}

/** Reads every definition of `schema`, which must be the session's database: SHOW CREATE leaves out its name only then. */
export async function readDefinitions(
  session: Session,
  schema: string,
  tables: readonly TableEntry[],
): Promise<ObjectDefinition[]> {
  await session.rows(`USE ${quoteName(schema)}`);
  return [
    ...(await tablesOf(session, tables)),
    ...(await viewsOf(session, schema)),
    ...(await triggersOf(session, schema)),
    ...(await routinesOf(session, schema)),
    ...(await eventsOf(session, schema)),
  ];
}

/** The text under which a definition is compared: the statement and everything its meaning depends on. */
export function definitionText(object: ObjectDefinition): string {
  const settings = [
    ['sql_mode', object.sqlMode],
    ['character_set_client', object.characterSet],
    ['collation_connection', object.connectionCollation],
    ['database collation', object.databaseCollation],
    ['time_zone', object.timeZone],
  ].flatMap(([name, value]) => (value === null || value === undefined ? [] : [`-- ${name}: ${value}`]));
  return [object.statement, ...settings].join('\n');
}
