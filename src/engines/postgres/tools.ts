import { TidemarkError } from '../../domain/errors.js';
import type { DatabaseConnection, EngineContext } from '../engine.js';
import type { Tools } from '../shared/find-tools.js';
import { requireTools } from '../shared/find-tools.js';
import { writeScratchFile } from '../shared/scratch-file.js';
import { sessionOptions } from './connect.js';

/**
 * The programs (pg_dump and pg_restore) of exactly this major: an older one refuses the server, a newer one writes what the server's own
 * cannot read back.
 */
export async function findPostgresTools(
  major: string,
  toolRoots: readonly string[],
  programs: readonly [string, ...string[]] = ['pg_dump', 'pg_restore'],
): Promise<Tools> {
  return requireTools({
    brand: 'postgresql',
    programs,
    accept: (version) => version.split('.')[0] === major,
    toolRoots,
    what: `PostgreSQL ${major} client programs`,
  });
}

/**
 * The environment that tells libpq where and who. The password travels here because an argument is visible to every user of the host.
 * `cleanUp` removes the certificate file when one was written.
 */
export async function libpqEnvironment(
  connection: DatabaseConnection,
  context: EngineContext,
  options: { applicationName: string; database: string; settings?: Readonly<Record<string, string>> },
): Promise<{ env: Record<string, string>; cleanUp(): Promise<void> }> {
  if (/[\0\n]/.test(`${connection.password}${connection.username}${options.database}`))
    throw new TidemarkError(
      'authentication_failed',
      'User name, password and database name may not contain line feeds or NUL.',
    );
  const env: Record<string, string> = {
    PGHOST: connection.host,
    PGPORT: String(connection.port),
    PGUSER: connection.username,
    PGPASSWORD: connection.password,
    PGDATABASE: options.database,
    PGAPPNAME: options.applicationName,
    PGOPTIONS: sessionOptions(options.settings),
    PGCONNECT_TIMEOUT: '15',
    PGPASSFILE: '/dev/null',
    PGSSLMODE: connection.tls === null ? 'disable' : connection.tls.mode === 'require' ? 'require' : 'verify-full',
    PGGSSENCMODE: 'disable',
    // Messages are matched; and a translated one would reach a reader who does not read that language.
    LC_ALL: 'C',
  };
  if (connection.tls?.mode !== 'verify') return { env, cleanUp: async () => {} };
  if (connection.tls.ca === undefined) {
    return { env: { ...env, PGSSLROOTCERT: '/etc/ssl/certs/ca-certificates.crt' }, cleanUp: async () => {} };
  }
  const file = await writeScratchFile(context.scratchDir, 'ca.pem', connection.tls.ca);
  return { env: { ...env, PGSSLROOTCERT: file.path }, cleanUp: () => file.remove() };
}
