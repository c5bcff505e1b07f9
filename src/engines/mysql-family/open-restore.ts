import { TidemarkError } from '../../domain/errors.js';
import type { DatabaseConnection, EngineContext, RestoreSession } from '../engine.js';
import type { Brand } from './brand.js';
import { toEngineError } from './failures.js';
import { fingerprintRestored } from './fingerprint-restored.js';
import { inspectTarget } from './inspect-target.js';
import type { LoadPart } from './load.js';
import { loadParts } from './load.js';
import { writeOptionFile } from './option-file.js';
import { planRevert, planSwap } from './plan-swap.js';
import { quoteName } from './quote.js';
import { isKeptName, isStaging } from './restore-names.js';
import { readNotes, saveNotes } from './restore-notes.js';
import type { RestoreScope } from './restore-scope.js';
import { claimRole, endEarlierAttempts, roleLock } from './restore-sessions.js';
import { runStep } from './run-step.js';
import { readServer } from './server.js';
import { openSession } from './session.js';
import { createStaging, dropStaging, setCounters } from './staging.js';
import { requireClientTools } from './tools.js';

async function load(scope: RestoreScope, database: string, parts: readonly LoadPart[]): Promise<void> {
  const { brand, connection, context } = scope;
  const tools = await requireClientTools(brand, scope.server.major, context.toolRoots);
  const file = await writeOptionFile(connection, context.scratchDir);
  const staged = isStaging(database);
  try {
    const enabledEvents = await loadParts(
      {
        brand,
        command: tools.client,
        optionFile: file.path,
        connection,
        database,
        lockName: roleLock(scope.restoreId, 'load'),
        signal: context.signal,
      },
      parts,
      staged,
    );
    if (!staged) return;
    const notes = await readNotes(scope.control, database);
    if (notes) await saveNotes(scope.control, database, { ...notes, enabledEvents });
    await setCounters(scope, database);
  } finally {
    await file.remove();
  }
}

async function dropPrevious(scope: RestoreScope, database: string): Promise<void> {
  if (!isKeptName(database)) {
    throw new TidemarkError('invalid_request', `${database} is not a kept former content and is never dropped.`, {
      object: database,
    });
  }
  await scope.control.rows(`DROP DATABASE IF EXISTS ${quoteName(database)}`, [], `Dropping ${database} failed`);
}

/** See Engine.openRestore. */
export async function openRestore(
  brand: Brand,
  connection: DatabaseConnection,
  context: EngineContext,
  options: { restoreId: string; attempt: number },
): Promise<RestoreSession> {
  const sessionName = `tidemark ${options.restoreId} ${options.attempt}`;
  const control = await openSession(connection, { database: null, name: sessionName, signal: context.signal });
  try {
    const server = await readServer(control, brand);
    await endEarlierAttempts(control, options.restoreId);
    await claimRole(control, options.restoreId, 'control');
    const scope: RestoreScope = { brand, connection, context, server, control, sessionName, ...options };
    const guard =
      <Args extends unknown[], Result>(doing: string, work: (...args: Args) => Promise<Result>) =>
      async (...args: Args): Promise<Result> => {
        try {
          return await work(...args);
        } catch (error) {
          throw toEngineError(error, connection, doing, 'load_failed');
        }
      };
    return {
      server,
      inspect: guard('Looking at the target failed', (target: string) => inspectTarget(scope, target)),
      createStaging: guard('Creating the staging database failed', (like) => createStaging(scope, like)),
      load: (database, parts) => load(scope, database, parts),
      fingerprint: guard('Reading the fingerprint failed', (database, onTable) =>
        fingerprintRestored(scope, database, onTable),
      ),
      planSwap: guard('Planning the swap failed', (names) => planSwap(scope, names)),
      planRevert: guard('Planning the revert failed', (names) => planRevert(scope, names)),
      runStep: (step, direction) => runStep(scope, step, direction),
      dropStaging: guard('Dropping the staging database failed', () => dropStaging(scope)),
      dropPrevious: guard('Dropping the previous content failed', (database) => dropPrevious(scope, database)),
      close: () => control.close(),
    };
  } catch (error) {
    await control.close();
    throw error;
  }
}
