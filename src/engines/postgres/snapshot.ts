import { TidemarkError } from '../../domain/errors.js';
import type { Fingerprint } from '../../domain/fingerprint.js';
import type { ServerIdentity } from '../../domain/positions.js';
import { runChild } from '../../platform/run-child.js';
import type { DatabaseConnection, EngineContext } from '../engine.js';
import type { Tools } from '../shared/find-tools.js';
import { toolCommand } from '../shared/find-tools.js';
import type { Session } from './connect.js';
import { connect, textSettings } from './connect.js';
import { toolErrorCode } from './map-error.js';
import { parseDefinitions } from './parse-definitions.js';
import { libpqEnvironment } from './tools.js';

/** Longest that pg_dump may wait for a table that somebody alters, in milliseconds: behind a waiting lock the whole application queues. */
export const LOCK_WAIT_MS = 5_000;

/** The schema text of a very large database; more than this is refused rather than held in memory. */
const MAX_DEFINITION_BYTES = 512 * 1024 * 1024;

/** An exported snapshot: as long as `holder` is open, other sessions and tools can read the same state. */
export type Snapshot = {
  readonly holder: Session;
  readonly name: string;
  readonly server: ServerIdentity;
  readonly isReplica: boolean;
  readonly tools: Tools;
  readonly applicationName: string;
  /** The database; `connection.database` may be another one (a restore's target). */
  readonly database: string;
  readonly settings: Readonly<Record<string, string>>;
};

/** Another session that reads the snapshot. The caller closes it. */
export async function joinSnapshot(snapshot: Snapshot, context: EngineContext): Promise<Session> {
  const session = await connect(snapshot.holder.connection, {
    signal: context.signal,
    applicationName: snapshot.applicationName,
    database: snapshot.database,
    settings: snapshot.settings,
  });
  try {
    for (const setting of textSettings) await session.run(setting);
    // From a gigabyte on a table's checksum would be compiled, and fail where the server's LLVM library is not installed.
    await session.run('SET jit = off');
    await session.run('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    await session.run(`SET TRANSACTION SNAPSHOT '${snapshot.name}'`);
    // A table that somebody wants to alter now is not waited for: see LOCK_WAIT_MS.
    await session.run(`SET LOCAL lock_timeout = ${LOCK_WAIT_MS}`);
    return session;
  } catch (error) {
    await session.close();
    throw error;
  }
}

/** Definitions, owners and grants of every object at the snapshot. Throws `dump_failed` or what the tool's message means. */
export async function readDefinitions(
  snapshot: Snapshot,
  connection: DatabaseConnection,
  context: EngineContext,
): Promise<Fingerprint['objects']> {
  const { env, cleanUp } = await libpqEnvironment(connection, context, snapshot);
  try {
    const result = await runChild({
      command: toolCommand(snapshot.tools, 'pg_dump'),
      args: ['--schema-only', '--no-password', `--snapshot=${snapshot.name}`, `--lock-wait-timeout=${LOCK_WAIT_MS}`],
      env,
      label: `pg_dump --schema-only of ${snapshot.database}`,
      redact: [connection.password],
      signal: context.signal,
      maxStdoutBytes: MAX_DEFINITION_BYTES,
    });
    if (context.signal.aborted) throw new TidemarkError('cancelled', 'The run was cancelled.');
    if (result.code !== 0) {
      throw new TidemarkError(
        toolErrorCode(result.stderr, 'dump_failed'),
        `Reading the definitions of ${snapshot.database} failed: ${lastLines(result.stderr) || result.stoppedBecause || `exit ${result.code}`}`,
      );
    }
    const objects = parseDefinitions(result.stdout);
    if (objects === null)
      throw new TidemarkError(
        'dump_incomplete',
        `The definitions of ${snapshot.database} ended without their end mark.`,
      );
    return objects;
  } finally {
    await cleanUp();
  }
}

/** The end of what a tool said, on one line: fit for an error message. */
export function lastLines(stderr: string, limit = 1_500): string {
  const text = stderr
    .split('\n')
    .map((line) => line.replace(/^pg_(dump|restore): /, '').trim())
    .filter((line) => line !== '')
    .join(' | ');
  return text.length > limit ? `… ${text.slice(-limit)}` : text;
}
