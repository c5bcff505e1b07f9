import { join } from 'node:path';
import { TidemarkError } from '../../../domain/errors.js';
import { runChild } from '../../../platform/run-child.js';
import type { DatabaseConnection, EngineContext } from '../../engine.js';
import { toolCommand } from '../../shared/find-tools.js';
import type { Session } from '../connect.js';
import { connect } from '../connect.js';
import { lastLines } from '../snapshot.js';
import { readCluster } from './read-cluster.js';
import type { RunningSandbox } from './run-sandbox.js';
import { runSandbox } from './run-sandbox.js';
import type { SandboxPlace } from './sandbox-place.js';

/** Made when the log renamed or locked the superuser that was known at the backup. Roles are in no dump of a database. */
const OWN_SUPERUSER = 'tidemark_sandbox';

type OpenOptions = {
  readonly configFile: string;
  readonly localePath: string | null;
  readonly superuser: string | null;
};

export type OpenedSandbox = {
  readonly connection: DatabaseConnection;
  readonly databases: readonly string[];
  close(): Promise<void>;
};

/** Any of these exists in a usual cluster; each may have been dropped. */
const MAINTENANCE = ['postgres', 'template1'];

/** Logs in to a recovered server and lists what it holds. */
export async function openSandbox(
  place: SandboxPlace,
  running: RunningSandbox,
  options: OpenOptions,
  context: EngineContext,
): Promise<OpenedSandbox> {
  let server = running;
  let session = options.superuser === null ? null : await login(place, options.superuser, context);
  let username = options.superuser;
  if (session === null) {
    username = OWN_SUPERUSER;
    server = await withOwnSuperuser(place, running, options);
    session = await login(place, OWN_SUPERUSER, context);
  }
  if (session === null || username === null) {
    await server.stop();
    throw new TidemarkError('sandbox_failed', 'No superuser of the recovered server can log in.');
  }
  try {
    return { connection: session.connection, databases: (await readCluster(session)).databases, close: server.stop };
  } catch (error) {
    await server.stop();
    throw error;
  } finally {
    await session.close();
  }
}

/** Null when the server does not take this role. Throws `sandbox_failed` when it does not answer. */
async function login(place: SandboxPlace, username: string, context: EngineContext): Promise<Session | null> {
  for (const database of MAINTENANCE) {
    const connection: DatabaseConnection = {
      engine: 'postgresql',
      host: join(place.dir, 's'),
      port: 5432,
      username,
      password: '',
      database,
      tls: null,
    };
    try {
      const session = await connect(connection, { signal: context.signal, applicationName: 'tidemark sandbox' });
      if ((await session.value("SELECT pg_catalog.current_setting('is_superuser')")) === 'on') return session;
      await session.close();
      return null;
    } catch (error) {
      const code = (error as { code?: unknown }).code;
      if (code === 'cancelled') throw error;
      if (code === 'authentication_failed') return null;
      if (code !== 'database_missing' && !/not currently accepting connections/.test(String(error)))
        throw new TidemarkError('sandbox_failed', `The recovered server lets nobody in: ${(error as Error).message}`);
    }
  }
  return null;
}

/** Adds a superuser in single-user mode, the one way in that asks for no role, and starts the server again. */
async function withOwnSuperuser(
  place: SandboxPlace,
  running: RunningSandbox,
  options: OpenOptions,
): Promise<RunningSandbox> {
  // Orderly, so that single-user mode finds nothing to recover.
  await running.child.kill('SIGINT');
  await running.stop();
  const result = await runChild({
    command: toolCommand(place.programs, 'postgres'),
    args: ['--single', '-D', place.data, '-c', `config_file=${options.configFile}`, 'template1'],
    env: {
      HOME: join(place.dir, 'home'),
      LC_ALL: 'C',
      ...(options.localePath === null ? {} : { LOCPATH: options.localePath }),
    },
    input: `CREATE ROLE ${OWN_SUPERUSER} SUPERUSER LOGIN\n`,
    label: 'postgres --single',
    timeoutMs: 60_000,
    signal: place.signal,
    ...(place.user ? { user: place.user } : {}),
  });
  if (place.signal.aborted) throw new TidemarkError('cancelled', 'The run was cancelled.');
  if (result.code !== 0 || /ERROR:|FATAL:/.test(result.stderr))
    throw new TidemarkError(
      'sandbox_failed',
      `Making a superuser in the sandbox failed: ${lastLines(result.stderr) || 'no reason given'}`,
    );
  return runSandbox(place, { ...options, onProgress: () => {} });
}
