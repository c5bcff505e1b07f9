import type { Fingerprint } from '../../domain/fingerprint.js';
import type { DatabaseConnection, EngineContext, RestoreSession } from '../engine.js';
import type { Session } from './connect.js';
import { connect } from './connect.js';
import { createStaging } from './create-staging.js';
import { dropDatabase, dropPrevious, stagingDatabases } from './drop-database.js';
import { fitToTarget } from './fit-target.js';
import { inspectTarget } from './inspect-target.js';
import { loadArchive } from './load-archive.js';
import { mapConnectError, mapQueryError } from './map-error.js';
import { planRevert, planSwap } from './plan-swap.js';
import { quoteText } from './quote.js';
import { readFingerprint } from './read-fingerprint.js';
import type { RestoreScope } from './restore-scope.js';
import { runStep } from './run-step.js';
import { readServer } from './server.js';
import type { Snapshot } from './snapshot.js';
import { findPostgresTools } from './tools.js';

/** Connects to a database that is not the target: the target is renamed, and may not exist yet. */
async function connectMaintenance(
  connection: DatabaseConnection,
  context: EngineContext,
  applicationName: string,
): Promise<Session> {
  const candidates = ['postgres', 'template1'].filter((name) => name !== connection.database);
  let failure: unknown;
  for (const database of candidates) {
    try {
      return await connect(connection, { signal: context.signal, applicationName, database });
    } catch (error) {
      failure ??= error;
      const { code } = mapConnectError(error, connection, database);
      if (code !== 'database_missing' && code !== 'privilege_missing') throw error;
    }
  }
  throw failure;
}

/** Ends the sessions of earlier attempts of this restore: a tool that outlived its worker would go on writing into a staging database. */
async function endEarlierAttempts(maintenance: Session, restoreId: string, attempt: number): Promise<void> {
  const prefix = `tidemark ${restoreId} `;
  await maintenance.rows(`
    SELECT pg_catalog.pg_terminate_backend(pid, 5000) FROM pg_catalog.pg_stat_activity
    WHERE pid <> pg_catalog.pg_backend_pid() AND usename = current_user AND pg_catalog.starts_with(application_name, ${quoteText(prefix)})
      AND pg_catalog.substr(application_name, ${prefix.length + 1}) ~ '^[0-9]+$'
      AND pg_catalog.substr(application_name, ${prefix.length + 1})::numeric < ${Math.trunc(attempt)}`);
}

export async function openPostgresRestore(
  connection: DatabaseConnection,
  context: EngineContext,
  options: { restoreId: string; attempt: number },
): Promise<RestoreSession> {
  const applicationName = `tidemark ${options.restoreId} ${options.attempt}`;
  const maintenance = await connectMaintenance(connection, context, applicationName);
  try {
    const { server } = await readServer(maintenance);
    await endEarlierAttempts(maintenance, options.restoreId, options.attempt);
    const isSuperuser = await maintenance.value(
      'SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user',
    );
    const scope: RestoreScope = {
      maintenance,
      connection,
      context,
      server,
      restoreId: options.restoreId,
      attempt: options.attempt,
      applicationName,
      // Restored event triggers (login triggers among them) are foreign code and would change what is compared.
      settings: isSuperuser === 't' && Number(server.major) >= 17 ? { event_triggers: 'off' } : {},
    };
    const guard =
      <Args extends unknown[], Result>(doing: string, work: (...args: Args) => Promise<Result>) =>
      async (...args: Args): Promise<Result> => {
        try {
          return await work(...args);
        } catch (error) {
          throw mapQueryError(error, connection, doing, 'load_failed');
        }
      };
    let tablespaces = true;
    return {
      server,
      inspect: guard('Looking at the target failed', (target: string) => inspectTarget(scope, target)),
      fit: guard('Looking for the tablespaces of the target failed', async (like: Fingerprint) => {
        const fitted = await fitToTarget(scope, like);
        tablespaces = fitted.notes.length === 0;
        return fitted;
      }),
      createStaging: guard('Creating the staging database failed', (like: Fingerprint | null) =>
        createStaging(scope, like),
      ),
      load: (database, parts) => loadArchive(scope, database, parts, { tablespaces }),
      fingerprint: guard(
        'Reading the fingerprint failed',
        (database: string, onTable?: (done: number, total: number) => void) => readRestored(scope, database, onTable),
      ),
      planSwap: guard('Planning the swap failed', (names: { staging: string; target: string; previous: string }) =>
        planSwap(scope, names),
      ),
      planRevert: guard('Planning the revert failed', (names: { target: string; previous: string; aside: string }) =>
        planRevert(scope, names),
      ),
      runStep: (step, direction) => runStep(scope, step, direction),
      dropStaging: guard('Dropping the staging database failed', async () => {
        for (const name of await stagingDatabases(scope)) await dropDatabase(scope, name);
      }),
      dropPrevious: guard('Dropping the previous content failed', (database: string) => dropPrevious(scope, database)),
      close: () => maintenance.close(),
    };
  } catch (error) {
    await maintenance.close();
    throw mapQueryError(error, connection, 'Opening the restore failed', 'load_failed');
  }
}

async function readRestored(
  scope: RestoreScope,
  database: string,
  onTable?: (done: number, total: number) => void,
): Promise<Fingerprint> {
  const { connection, context, applicationName, server, settings } = scope;
  const tools = await findPostgresTools(server.major, context.toolRoots);
  const holder = await connect(connection, { signal: context.signal, applicationName, database, settings });
  try {
    await holder.run('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const name = (await holder.value('SELECT pg_catalog.pg_export_snapshot()')) ?? '';
    const snapshot: Snapshot = { holder, name, server, isReplica: false, tools, applicationName, database, settings };
    return await readFingerprint({ snapshot, connection, context, onTable });
  } finally {
    await holder.close();
  }
}
