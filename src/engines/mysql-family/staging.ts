import { TidemarkError } from '../../domain/errors.js';
import type { Fingerprint } from '../../domain/fingerprint.js';
import type { DatabaseSettings } from './database-settings.js';
import { createDatabaseStatement } from './database-settings.js';
import { placeOf, serverErrorNumber, toEngineError } from './failures.js';
import type { Counters } from './fingerprint.js';
import { accountName, quoteIn, quoteName } from './quote.js';
import { requireAccounts } from './require-accounts.js';
import { isStagingOf, NOTES_TABLE, stagingName } from './restore-names.js';
import { createNotes, notesFrom, readNotes } from './restore-notes.js';
import type { RestoreScope } from './restore-scope.js';
import type { Session } from './session.js';
import { listTables } from './table-shapes.js';

/** Staging databases that attempts of this restore left. */
export async function stagingDatabases(scope: RestoreScope): Promise<string[]> {
  const rows = await scope.control.rows(
    "SELECT SCHEMA_NAME AS name FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE 'tm\\_stage\\_%'",
  );
  return rows.map((row) => row.name ?? '').filter((name) => isStagingOf(scope.restoreId, name));
}

export async function dropStaging(scope: RestoreScope): Promise<void> {
  for (const name of await stagingDatabases(scope)) {
    await scope.control.rows(`DROP DATABASE IF EXISTS ${quoteName(name)}`, [], `Dropping ${name} failed`);
  }
}

function settingsOf(like: Fingerprint | null): Partial<DatabaseSettings> {
  if (like === null) return {};
  const { character_set, collation, encryption, comment } = like.database;
  return {
    ...(character_set ? { character_set } : {}),
    ...(collation ? { collation } : {}),
    // A plain database needs no ENCRYPTION clause: naming it takes a privilege on some servers.
    ...(encryption === 'YES' ? { encryption } : {}),
    ...(comment ? { comment } : {}),
  };
}

/** See RestoreSession.createStaging. */
export async function createStaging(scope: RestoreScope, like: Fingerprint | null): Promise<string> {
  if (like !== null) await requireAccounts(scope, like);
  const name = stagingName(scope.restoreId, scope.attempt);
  for (const left of await stagingDatabases(scope)) {
    if (Number(left.slice(left.lastIndexOf('_') + 1)) > scope.attempt) {
      throw new TidemarkError('fenced', `A later attempt of ${scope.restoreId} already builds ${left}.`, {
        object: left,
      });
    }
  }
  await dropStaging(scope);
  try {
    await scope.control.raw(createDatabaseStatement(name, settingsOf(like)));
  } catch (error) {
    const { connection } = scope;
    if (serverErrorNumber(error) === 1044) {
      // An administrator runs it, for whom CURRENT_USER() would be another account.
      const account = (await scope.control.value('SELECT CURRENT_USER()')) ?? '';
      const at = account.lastIndexOf('@');
      const statement = `GRANT ALL PRIVILEGES ON *.* TO ${accountName(account.slice(0, at), account.slice(at + 1))};`;
      throw new TidemarkError(
        'privilege_missing',
        `${connection.username} may not create databases on ${placeOf(connection)}. Run: ${statement}`,
        { object: name, statement },
      );
    }
    // 1115 and 1273: a character set or collation that this server does not know.
    if ([1115, 1273].includes(serverErrorNumber(error) ?? 0)) {
      throw toEngineError(error, connection, 'This server has no such character set or collation', 'not_supported');
    }
    throw error;
  }
  await createNotes(scope.control, name, notesFrom(like));
  return name;
}

/**
 * Sets AUTO_INCREMENT and sequences to their values at the backup's position: the dump tool reads them later than its snapshot, so that
 * on a busy source it carries greater ones.
 */
export async function applyCounters(session: Session, database: string, counters: Counters): Promise<void> {
  const tables = new Map((await listTables(session, database)).map((table) => [table.name, table]));
  for (const { table, next } of counters.autoIncrement) {
    const found = tables.get(table);
    if (!found || found.autoIncrement === next || !/^\d+$/.test(next)) continue;
    await session.rows(
      `ALTER TABLE ${quoteIn(database, table)} AUTO_INCREMENT = ${next}`,
      [],
      `Setting the counter of ${table} failed`,
    );
  }
  for (const { name, lastValue } of counters.sequences) {
    if (tables.get(name)?.kind !== 'sequence' || lastValue === null || !/^-?\d+$/.test(lastValue)) continue;
    const now = await session.value(`SELECT next_not_cached_value FROM ${quoteIn(database, name)}`);
    if (now === lastValue) continue;
    await session.rows(
      `ALTER SEQUENCE ${quoteIn(database, name)} RESTART ${lastValue}`,
      [],
      `Setting the sequence ${name} failed`,
    );
  }
}

/** As `applyCounters`, from the notes of a staging database. */
export async function setCounters(scope: RestoreScope, database: string): Promise<void> {
  const notes = await readNotes(scope.control, database);
  if (notes?.counters) await applyCounters(scope.control, database, notes.counters);
}

/** Every table of a staging database except our own. */
export function withoutNotes<T extends { readonly name: string }>(tables: readonly T[]): T[] {
  return tables.filter((table) => table.name !== NOTES_TABLE);
}
