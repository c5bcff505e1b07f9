import { isTidemarkError } from '../../domain/errors.js';
import type { CheckFinding, DatabaseCheck, DatabaseConnection, EngineContext } from '../engine.js';
import { connect } from './connect.js';
import { findMissingPrivileges, findRemarks } from './find-missing.js';
import { mapQueryError } from './map-error.js';
import { quoteText } from './quote.js';
import { isProven, readServer } from './server.js';
import { findPostgresTools } from './tools.js';

/** Looks at a database as the registered role sees it. Reads only; holds no lock beyond a statement. */
export async function checkPostgres(connection: DatabaseConnection, context: EngineContext): Promise<DatabaseCheck> {
  const session = await connect(connection, { signal: context.signal, applicationName: 'tidemark check' });
  try {
    await session.run("SET statement_timeout = '20s'");
    await session.run("SET lock_timeout = '5s'");
    await session.run("SET search_path = ''");
    const { server, isReplica } = await readServer(session);
    const findings: CheckFinding[] = [];
    if (!isProven(server.major))
      findings.push({
        severity: 'warns',
        code: 'unproven_version',
        message: `PostgreSQL ${server.major} is not among the versions that the tests run: unproven.`,
        statement: null,
      });
    try {
      await findPostgresTools(server.major, context.toolRoots);
    } catch (error) {
      if (!isTidemarkError(error)) throw error;
      findings.push({ severity: 'refuses', code: 'tools_missing', message: error.message, statement: null });
    }
    findings.push(...(await findMissingPrivileges(session, connection)));
    findings.push(...(await findRemarks(session, isReplica)));
    const size = await session.value(`SELECT pg_catalog.pg_database_size(${quoteText(connection.database)})::text`);
    const refusals = findings.filter((finding) => finding.severity === 'refuses');
    return {
      server,
      role: isReplica ? 'replica' : 'primary',
      sizeBytes: Number(size ?? 0),
      capabilities: {
        dump: refusals.length === 0,
        reason: refusals.length === 0 ? null : refusals.map((finding) => finding.message).join(' '),
      },
      findings,
    };
  } catch (error) {
    throw mapQueryError(error, connection, `Checking ${connection.database} failed`, 'internal');
  } finally {
    await session.close();
  }
}
