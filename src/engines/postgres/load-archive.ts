import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { isTidemarkError, TidemarkError } from '../../domain/errors.js';
import { spawnChild } from '../../platform/spawn-child.js';
import { toolCommand } from '../shared/find-tools.js';
import { ArchiveFormatError, ArchiveTap } from './archive-scan.js';
import { toolErrorCode } from './map-error.js';
import { databaseConninfo, quoteName } from './quote.js';
import type { RestoreScope } from './restore-scope.js';
import { lastLines } from './snapshot.js';
import { findPostgresTools, libpqEnvironment } from './tools.js';

/**
 * Loads a custom-format archive by pg_restore. The archive is followed on its way in: pg_restore reads what it needs and would not miss
 * what it did not need, so a whole archive and exit code 0 are both required.
 */
export async function loadArchive(
  scope: RestoreScope,
  database: string,
  parts: readonly { readonly name: string; open(): Promise<Readable> }[],
  options: { readonly tablespaces: boolean } = { tablespaces: true },
): Promise<void> {
  const { connection, context, applicationName, server } = scope;
  const [part] = parts;
  if (part === undefined || parts.length !== 1)
    throw new TidemarkError('load_failed', `A PostgreSQL dump has one part, not ${parts.length}.`);
  const tools = await findPostgresTools(server.major, context.toolRoots);
  const isStaging = database.startsWith('tm_stage_');
  const settings = { ...scope.settings, row_security: 'on', synchronous_commit: isStaging ? 'off' : 'on' };
  const { env, cleanUp } = await libpqEnvironment(connection, context, { applicationName, database, settings });
  try {
    const source = await part.open();
    const child = spawnChild({
      command: toolCommand(tools, 'pg_restore'),
      // Without a staging database it is all or nothing in one transaction; a staging database is thrown away as a whole.
      args: [
        '--exit-on-error',
        '--no-password',
        // A materialized view is filled by its owner, whom row security may concern. Rows are loaded before any of it is in force.
        '--enable-row-security',
        ...(isStaging ? [] : ['--single-transaction']),
        ...(options.tablespaces ? [] : ['--no-tablespaces']),
        '-d',
        databaseConninfo(database),
      ],
      env,
      label: `pg_restore into ${database}`,
      redact: [connection.password],
      signal: context.signal,
      stdin: 'pipe',
      stdout: 'tail',
    });
    const tap = new ArchiveTap();
    let sourceError: unknown;
    source.once('error', (error: unknown) => {
      sourceError = error;
      // At once: what is wrong with the bytes must not be committed because pg_restore had already enough of them.
      void child.kill('SIGKILL');
    });
    if (child.stdin === null) throw new Error('pg_restore has no stdin');
    const fed = pipeline(source, tap, child.stdin).then(
      () => null,
      (error: unknown) => {
        if (error instanceof ArchiveFormatError) void child.kill('SIGKILL');
        return error;
      },
    );
    const exit = await child.exited;
    source.destroy();
    const feedError = await fed;
    if (context.signal.aborted) throw new TidemarkError('cancelled', 'The run was cancelled.');
    if (isTidemarkError(sourceError)) throw sourceError;
    const fail = (message: string, stderr = '') =>
      new TidemarkError(
        toolErrorCode(stderr, 'load_failed'),
        `Loading ${part.name} into ${quoteName(database)} failed: ${message}`,
        {
          object: part.name,
        },
      );
    if (sourceError !== undefined) throw fail(`reading the backup broke off: ${(sourceError as Error).message}`);
    if (feedError instanceof ArchiveFormatError)
      throw fail(`it is not a whole PostgreSQL archive: ${feedError.message}.`);
    const missing = tap.scanner.missing();
    // pg_restore's own words come first unless it merely met the early end.
    if (exit.code !== 0 && (missing === null || !/end of file|could not find block ID/.test(exit.stderr)))
      throw fail(
        lastLines(exit.stderr) || `pg_restore ended with ${exit.signal ?? `exit code ${exit.code}`}`,
        exit.stderr,
      );
    if (missing !== null) throw fail(`the archive is cut off: ${missing}.`);
    if (feedError !== null) throw fail(`it was not read to its end: ${(feedError as Error).message}`);
  } finally {
    await cleanUp();
  }
}
