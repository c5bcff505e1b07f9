import type { Fingerprint } from '../../domain/fingerprint.js';
import type { Brand } from './brand.js';
import { readDatabaseSettings } from './database-settings.js';
import type { ObjectDefinition } from './definitions.js';
import { definitionText, readDefinitions } from './definitions.js';
import type { DatabaseGrants } from './grants.js';
import { granteeOf, readGrants } from './grants.js';
import { quoteName } from './quote.js';
import { readAccounts } from './require-accounts.js';
import { checksumTable } from './row-checksum.js';
import type { Session } from './session.js';
import type { TableEntry } from './table-shapes.js';
import { readTableShapes } from './table-shapes.js';

/** What does not belong to a snapshot and must be read while nothing is written: counters. */
export type Counters = Pick<Fingerprint, 'sequences' | 'autoIncrement'>;

/** Next values of AUTO_INCREMENT columns and sequences, as the server tells them now. */
export async function readCounters(session: Session, schema: string, tables: readonly TableEntry[]): Promise<Counters> {
  const sequences = [];
  for (const table of tables) {
    if (table.kind !== 'sequence') continue;
    const next = await session.value(`SELECT next_not_cached_value FROM ${quoteName(schema)}.${quoteName(table.name)}`);
    sequences.push({ name: table.name, lastValue: next, isCalled: false });
  }
  const autoIncrement = tables.flatMap((table) =>
    table.autoIncrement === null ? [] : [{ table: table.name, next: table.autoIncrement }],
  );
  return { sequences, autoIncrement };
}

function grantsOf(object: ObjectDefinition, grants: DatabaseGrants): readonly string[] {
  switch (object.type) {
    case 'table':
    case 'view':
    case 'sequence':
      return grants.tables.get(object.name) ?? [];
    case 'procedure':
    case 'function':
    case 'package':
    case 'package body':
      return grants.routines.get(`${object.type} ${object.name}`) ?? [];
    case 'trigger':
    case 'event':
      return [];
  }
}

/** Everything of a fingerprint except rows and counters. */
export type Structure = Pick<Fingerprint, 'database' | 'objects'>;

/** Accounts named as definers or in grants that exist on this server, as JSON; null when the role may not see accounts. */
function namedAccounts(
  definitions: readonly ObjectDefinition[],
  grants: DatabaseGrants,
  present: ReadonlySet<string> | null,
): string | null {
  if (present === null) return null;
  const named = new Set(definitions.flatMap((object) => (object.definer === null ? [] : [object.definer])));
  const lines = [grants.database, ...grants.tables.values(), ...grants.routines.values()].flat();
  for (const line of lines) {
    const account = granteeOf(line);
    if (account !== null) named.add(account);
  }
  return JSON.stringify([...named].filter((account) => present.has(account)).sort());
}

function describeStructure(
  settings: Fingerprint['database'],
  definitions: readonly ObjectDefinition[],
  grants: DatabaseGrants,
  present: ReadonlySet<string> | null,
): Structure {
  return {
    database: {
      ...settings,
      grants_read: grants.complete ? 'all' : 'own',
      accounts: namedAccounts(definitions, grants, present),
    },
    objects: [
      { type: 'database', name: 'grants', definition: '', owner: null, grants: [...grants.database] },
      ...definitions.map((object) => ({
        type: object.type,
        name: object.name,
        definition: definitionText(object),
        owner: object.definer,
        grants: [...grantsOf(object, grants)],
      })),
    ],
  };
}

export async function readStructure(
  session: Session,
  brand: Brand,
  schema: string,
  tables: readonly TableEntry[],
): Promise<Structure> {
  const settings = await readDatabaseSettings(session, brand, schema);
  const definitions = await readDefinitions(session, schema, tables);
  return describeStructure(
    { ...settings },
    definitions,
    await readGrants(session, schema),
    await readAccounts(session),
  );
}

/** Rows and checksums of all tables, spread over the sessions given (each reads one table at a time). */
export async function readRows(
  sessions: readonly Session[],
  schema: string,
  tables: readonly TableEntry[],
  onTable?: (done: number, total: number) => void,
): Promise<Fingerprint['tables']> {
  const [first] = sessions;
  if (!first) return [];
  const shapes = await readTableShapes(first, schema, tables);
  const found: Fingerprint['tables'] = [];
  const waiting = [...shapes];
  let done = 0;
  const work = async (session: Session) => {
    for (let shape = waiting.shift(); shape; shape = waiting.shift()) {
      found.push({ name: shape.name, ...(await checksumTable(session, schema, shape)) });
      done += 1;
      onTable?.(done, shapes.length);
    }
  };
  await Promise.all(sessions.map(work));
  return found.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

export function assembleFingerprint(
  brand: Brand,
  structure: Structure,
  counters: Counters,
  tables: Fingerprint['tables'],
): Fingerprint {
  return { version: 1, engine: brand.kind, ...structure, tables, ...counters, largeObjects: null };
}
