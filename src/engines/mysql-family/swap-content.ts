import { TidemarkError } from '../../domain/errors.js';
import type { DatabaseSettings } from './database-settings.js';
import { findDatabaseSettings } from './database-settings.js';
import type { ObjectDefinition } from './definitions.js';
import { readDefinitions } from './definitions.js';
import { enabledText } from './event-state.js';
import type { DatabaseGrants } from './grants.js';
import { readGrants } from './grants.js';
import type { RestoreNotes } from './restore-notes.js';
import { readNotes } from './restore-notes.js';
import type { RestoreScope } from './restore-scope.js';
import { withoutNotes } from './staging.js';
import { listTables } from './table-shapes.js';

/** All that a swap must move or make anew. */
export type Content = {
  readonly database: string;
  readonly settings: DatabaseSettings;
  /** Base tables and sequences, in order of name. */
  readonly tables: readonly string[];
  readonly views: readonly ObjectDefinition[];
  readonly triggers: readonly ObjectDefinition[];
  /** Procedures, functions, packages: what views may call. */
  readonly routines: readonly ObjectDefinition[];
  /** As they are to run: an event held back in staging stands here enabled. */
  readonly events: readonly ObjectDefinition[];
  readonly grants: DatabaseGrants;
  readonly notes: RestoreNotes | null;
};

const routineTypes = new Set<ObjectDefinition['type']>(['procedure', 'function', 'package', 'package body']);

/** Null when there is no such database. */
export async function readContent(scope: RestoreScope, database: string): Promise<Content | null> {
  const { control, brand } = scope;
  const settings = await findDatabaseSettings(control, brand, database);
  if (settings === null) return null;
  const tables = withoutNotes(await listTables(control, database));
  const broken = tables.find((table) => table.kind === 'view' && /references invalid/i.test(table.comment));
  if (broken) {
    // It could be taken down, but never be made again: an undone swap would have lost it.
    throw new TidemarkError(
      'conflict',
      `The view ${broken.name} of ${database} refers to something that does not exist. Drop or mend it, then restore again.`,
      { object: broken.name },
    );
  }
  const objects = await readDefinitions(control, database, tables);
  const notes = await readNotes(control, database);
  const enabled = new Set(notes?.enabledEvents ?? []);
  const of = (type: ObjectDefinition['type']) => objects.filter((object) => object.type === type);
  return {
    database,
    settings,
    tables: tables.filter((table) => table.kind !== 'view').map((table) => table.name),
    views: of('view'),
    triggers: of('trigger'),
    // A package must stand before its body.
    routines: objects
      .filter((object) => routineTypes.has(object.type))
      .sort((a, b) => Number(a.type === 'package body') - Number(b.type === 'package body')),
    events: of('event').map((event) =>
      enabled.has(event.name) ? { ...event, statement: enabledText(event.statement) } : event,
    ),
    grants: await readGrants(control, database),
    notes,
  };
}

export function isEmptyContent(content: Content): boolean {
  return (
    content.tables.length +
      content.views.length +
      content.routines.length +
      content.events.length +
      content.triggers.length ===
    0
  );
}
