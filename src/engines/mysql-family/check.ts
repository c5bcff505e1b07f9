import { provenVersions } from '../../domain/engine-kinds.js';
import type { CheckFinding, DatabaseCheck, DatabaseConnection, EngineContext } from '../engine.js';
import type { Brand } from './brand.js';
import { readDatabaseSettings } from './database-settings.js';
import { findMissingPrivileges } from './find-missing.js';
import { findRemarks } from './find-remarks.js';
import { readServer } from './server.js';
import { withSession } from './session.js';
import { listTables } from './table-shapes.js';
import { hasClientTools } from './tools.js';

/** See Engine.check. */
export async function checkDatabase(
  brand: Brand,
  connection: DatabaseConnection,
  context: EngineContext,
): Promise<DatabaseCheck> {
  const options = { database: connection.database, name: 'tidemark check', signal: context.signal };
  return withSession(connection, options, async (session) => {
    const server = await readServer(session, brand);
    await readDatabaseSettings(session, brand, connection.database);
    const tables = await listTables(session, connection.database);
    const findings: CheckFinding[] = [];
    if (!provenVersions[brand.kind].includes(server.major)) {
      findings.push({
        severity: 'warns',
        code: 'unproven_version',
        message: `${brand.title} ${server.major} is not among the versions that are tested (${provenVersions[brand.kind].join(', ')}).`,
        statement: null,
      });
    }
    if (!(await hasClientTools(brand, server.major, context.toolRoots))) {
      findings.push({
        severity: 'refuses',
        code: 'tools_missing',
        message: `${brand.dumpProgram} and ${brand.clientProgram} of version ${server.major} are not installed where Tidemark looks for them.`,
        statement: null,
      });
    }
    findings.push(...(await findMissingPrivileges(session, brand, connection, tables)));
    findings.push(...(await findRemarks(session, brand, connection, tables)));
    const refusing = findings.find((finding) => finding.severity === 'refuses');
    return {
      server,
      role: (await brand.isReplica(session)) === true ? 'replica' : 'primary',
      sizeBytes: tables.reduce((sum, table) => sum + table.bytes, 0),
      capabilities: { dump: refusing === undefined, reason: refusing?.message ?? null },
      findings,
    };
  });
}
