import { TidemarkError } from '../../domain/errors.js';
import { connect } from './connect.js';
import { quoteName, quoteText } from './quote.js';
import type { RestoreScope } from './restore-scope.js';

export function stagingPrefix(restoreId: string): string {
  return `tm_stage_${restoreId}_`;
}

/** Staging databases of all attempts of this restore. */
export async function stagingDatabases(scope: RestoreScope): Promise<string[]> {
  const rows = await scope.maintenance.rows(
    `SELECT datname FROM pg_catalog.pg_database WHERE pg_catalog.starts_with(datname, ${quoteText(stagingPrefix(scope.restoreId))}) ORDER BY 1`,
  );
  return rows.map((row) => row.datname ?? '');
}

/**
 * Subscriptions keep their database from being dropped. They are cut from their slot first: dropping one with its slot name would drop
 * the slot on the publisher, which is the slot of the living original.
 */
async function dropSubscriptions(scope: RestoreScope, database: string): Promise<void> {
  const { maintenance, connection, context, applicationName, settings } = scope;
  const rows = await maintenance.rows(
    `SELECT s.subname FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid WHERE d.datname = ${quoteText(database)}`,
  );
  if (rows.length === 0) return;
  await maintenance.run(`ALTER DATABASE ${quoteName(database)} ALLOW_CONNECTIONS true`);
  const inside = await connect(connection, { signal: context.signal, applicationName, database, settings });
  try {
    for (const { subname } of rows) {
      const name = quoteName(subname ?? '');
      await inside.run(`ALTER SUBSCRIPTION ${name} DISABLE`);
      await inside.run(`ALTER SUBSCRIPTION ${name} SET (slot_name = NONE)`);
      await inside.run(`DROP SUBSCRIPTION ${name}`);
    }
  } finally {
    await inside.close();
  }
}

/**
 * Ends all sessions in the databases, waiting for each: a rename or a drop is refused while one is left. Not the workers of autovacuum,
 * which only a superuser may end: rename and drop end them by themselves.
 */
export function endSessions(names: readonly string[]): string {
  return `SELECT pg_catalog.pg_terminate_backend(pid, 5000) FROM pg_catalog.pg_stat_activity
    WHERE pid <> pg_catalog.pg_backend_pid() AND backend_type <> 'autovacuum worker' AND datname IN (${names.map(quoteText).join(', ')})`;
}

/** Drops a database with the sessions in it. One that is gone already is a success. */
export async function dropDatabase(scope: RestoreScope, database: string): Promise<void> {
  const { maintenance } = scope;
  await dropSubscriptions(scope, database);
  try {
    await maintenance.run(`DROP DATABASE IF EXISTS ${quoteName(database)} WITH (FORCE)`);
  } catch (error) {
    // FORCE is denied to everybody but superusers while autovacuum is at work in the database, which it often is after a load.
    if ((error as { code?: unknown }).code !== '42501') throw error;
    await maintenance.rows(endSessions([database]));
    await maintenance.run(`DROP DATABASE IF EXISTS ${quoteName(database)}`);
  }
}

/** Drops kept former content; a name that is not ours to drop is refused. */
export async function dropPrevious(scope: RestoreScope, database: string): Promise<void> {
  if (!/__(before|reverted)_/.test(database))
    throw new TidemarkError(
      'conflict',
      `${quoteName(database)} is not the kept content of a restore and is not dropped.`,
      {
        object: database,
      },
    );
  await dropDatabase(scope, database);
}
