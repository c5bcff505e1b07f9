import { provenVersions } from '../../../domain/engine-kinds.js';
import type { ServerReadiness } from '../../chain-engine.js';
import type { CheckFinding, DatabaseConnection, EngineContext } from '../../engine.js';
import type { Brand } from '../brand.js';
import { holdsPrivilege, readPrivileges } from '../privileges.js';
import { accountName, splitAccount } from '../quote.js';
import { readServer } from '../server.js';
import type { Session } from '../session.js';
import { withSession } from '../session.js';
import { listTablesOf } from '../table-shapes.js';
import { hasClientTools } from '../tools.js';
import { inspectContent } from './inspect-content.js';
import { inspectLog } from './inspect-log.js';
import { listDatabases } from './list-databases.js';
import { findSandboxPrograms } from './sandbox-programs.js';

/** Rights on the whole server; each with another name under which the brand prints it. */
function neededPrivileges(brand: Brand, wishesLog: boolean): (readonly string[])[] {
  const full = [['SELECT'], ['SHOW VIEW'], ['TRIGGER'], ['EVENT'], ['LOCK TABLES']];
  // The short lock: MariaDB's is the global one.
  if (brand.kind === 'mariadb') full.push(['RELOAD']);
  full.push(brand.kind === 'mysql' ? ['REPLICATION CLIENT'] : ['BINLOG MONITOR', 'REPLICATION CLIENT']);
  return wishesLog ? [...full, ['REPLICATION SLAVE']] : full;
}

/** One finding for all that is missing, with the one statement that grants it. */
async function missingPrivileges(
  session: Session,
  brand: Brand,
  databases: readonly string[],
  wishesLog: boolean,
): Promise<CheckFinding[]> {
  const held = await readPrivileges(session);
  const missing = neededPrivileges(brand, wishesLog).flatMap((names) =>
    names.some((name) => holdsPrivilege(held, name, null)) ? [] : [names[0] ?? ''],
  );
  const { user, host } = splitAccount((await session.value('SELECT CURRENT_USER()')) ?? '');
  const account = accountName(user, host);
  if (missing.length > 0) {
    return [
      {
        severity: 'refuses',
        code: 'missing_privilege',
        message: `${account} lacks ${missing.join(', ')} on the whole server, of which a full holds all databases with their accounts, and whose log is received.`,
        statement: `GRANT ${missing.join(', ')} ON *.* TO ${account};`,
      },
    ];
  }
  const closed = databases.filter((database) => !holdsPrivilege(held, 'SELECT', database));
  if (closed.length === 0) return [];
  return [
    {
      severity: 'refuses',
      code: 'missing_privilege',
      message: `Rights of ${account} are revoked in ${closed.slice(0, 10).join(', ')}: a full must hold every database.`,
      statement: null,
    },
  ];
}

/** See ChainEngine.inspectServer. */
export async function inspectServer(
  brand: Brand,
  connection: DatabaseConnection,
  context: EngineContext,
  wish: { readonly pitr: boolean; readonly incremental: boolean },
): Promise<ServerReadiness> {
  const options = { database: null, name: 'tidemark check', signal: context.signal };
  return withSession(connection, options, async (session) => {
    const server = await readServer(session, brand);
    const role = (await brand.isReplica(session)) === true ? ('replica' as const) : ('primary' as const);
    const base: CheckFinding[] = [];
    if (!provenVersions[brand.kind].includes(server.major))
      base.push({
        severity: 'warns',
        code: 'unproven_version',
        message: `${brand.title} ${server.major} is not among the versions that are tested (${provenVersions[brand.kind].join(', ')}).`,
        statement: null,
      });
    const refuse = (code: string, message: string) =>
      base.push({ severity: 'refuses', code, message, statement: null });
    if (!(await hasClientTools(brand, server.major, context.toolRoots)))
      refuse(
        'tools_missing',
        `${brand.dumpProgram} and ${brand.clientProgram} of version ${server.major} are not installed where Tidemark looks for them.`,
      );
    if ((await findSandboxPrograms(brand, server.major, context.toolRoots)) === null)
      refuse(
        'tools_missing',
        `The server program of ${brand.title} ${server.major} is not installed where Tidemark looks for it: nothing could be recovered here.`,
      );
    // Names that keep their case and are compared without it need a file system that does so too.
    if ((await session.value('SELECT @@global.lower_case_table_names')) === '2')
      refuse('lower_case_table_names', 'lower_case_table_names is 2, which a sandbox on this host cannot have.');
    const databases = await listDatabases(session);
    const wishesLog = wish.pitr || wish.incremental;
    base.push(...(await missingPrivileges(session, brand, databases, wishesLog)));
    const tables = await listTablesOf(session, databases);
    base.push(...(await inspectContent(session, brand, tables)));
    const log = await inspectLog(session, brand, role, wishesLog ? 'refuses' : 'info');
    const refusals = (findings: readonly CheckFinding[]) => findings.filter(({ severity }) => severity === 'refuses');
    const full = refusals(base).length === 0;
    const pitr = full && log.every(({ severity }) => severity === 'warns');
    const reasons = [...refusals(base), ...refusals(log)].map(({ message }) => message);
    if (reasons.length > 0) reasons.push('Backups by dump remain possible: protect the database by a plan.');
    return {
      server,
      role,
      sizeBytes: tables.reduce((sum, one) => sum + one.tables.reduce((all, table) => all + table.bytes, 0), 0),
      databases,
      full,
      // The log since the parent.
      incremental: pitr,
      pitr,
      reason: reasons.length === 0 ? null : reasons.join(' '),
      findings: [...base, ...log],
    };
  });
}
