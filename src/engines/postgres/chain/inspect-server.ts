import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isTidemarkError } from '../../../domain/errors.js';
import { giveTo, sandboxUser } from '../../../platform/run-as.js';
import type { ServerReadiness } from '../../chain-engine.js';
import type { CheckFinding, DatabaseConnection, EngineContext } from '../../engine.js';
import type { Tools } from '../../shared/find-tools.js';
import { toolCommand } from '../../shared/find-tools.js';
import { connect } from '../connect.js';
import { mapQueryError } from '../map-error.js';
import { listNames } from '../quote.js';
import { isProven, readServer } from '../server.js';
import { findContentFindings } from './find-content-findings.js';
import { findForbiddenReplication, findSettings } from './find-log-findings.js';
import { findBackupTool, findSandboxPrograms, INCREMENTAL_FROM } from './programs.js';
import type { Tablespace } from './read-cluster.js';
import { readCluster } from './read-cluster.js';
import { prepareLocales } from './sandbox-locales.js';

const refuse = (code: string, message: string): CheckFinding => ({
  severity: 'refuses',
  code,
  message,
  statement: null,
});

/** Backups hold tablespaces; where their content lies afterwards is another matter, which is said. */
function tablespaceFinding(major: string, tablespaces: readonly Tablespace[]): CheckFinding {
  const names = `The server has ${tablespaces.length} ${tablespaces.length === 1 ? 'tablespace' : 'tablespaces'} of its own (${listNames(tablespaces.map(({ name }) => name))})`;
  if (Number(major) < 15)
    return refuse('user_tablespaces', `${names}, and full backups of such a server take PostgreSQL 15.`);
  return {
    severity: 'info',
    code: 'user_tablespaces',
    message: `${names}. Fulls, incrementals and the log hold them. A sandbox and extracted files have them inside the data directory; a restore keeps a table in its tablespace where the target server has all that the database uses, else all goes to the default one.`,
    statement: null,
  };
}

/** The programs that a sandbox needs, or null with a finding. */
async function findPrograms(
  major: string,
  context: EngineContext,
): Promise<{ programs: Tools | null; findings: CheckFinding[] }> {
  try {
    await findBackupTool(major, context.toolRoots);
    return { programs: await findSandboxPrograms(major, context.toolRoots), findings: [] };
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
    return { programs: null, findings: [refuse('tools_missing', error.message)] };
  }
}

/** Could the server program here open databases of these locales? Tried with the program itself. */
async function findLocales(
  locales: readonly string[],
  programs: Tools,
  context: EngineContext,
): Promise<CheckFinding[]> {
  const user = sandboxUser();
  // Not in the scratch folder, which the sandbox's user cannot enter.
  const dir = mkdtempSync(join(tmpdir(), 'tm-locale-'));
  try {
    chmodSync(dir, 0o700);
    giveTo(user, dir);
    const { missing } = await prepareLocales(locales, {
      postgres: toolCommand(programs, 'postgres'),
      dir,
      user,
      signal: context.signal,
    });
    if (missing.length === 0) return [];
    return [
      refuse(
        'locale_missing',
        `A sandbox on this host could not open databases with the locales ${listNames(missing)}. Install the package \`locales\` here.`,
      ),
    ];
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/**
 * Whether fulls, incrementals and the log archive of this server are possible, and whether a sandbox on this machine could open its data.
 * Changes nothing on the server.
 */
export async function inspectServer(
  connection: DatabaseConnection,
  context: EngineContext,
  wish: { readonly pitr: boolean; readonly incremental: boolean },
): Promise<ServerReadiness> {
  const session = await connect(connection, {
    signal: context.signal,
    applicationName: 'tidemark check',
    settings: { statement_timeout: '20s', lock_timeout: '5s' },
  });
  try {
    const { server, isReplica } = await readServer(session);
    const facts = await readCluster(session);
    const { programs, findings } = await findPrograms(server.major, context);
    if (!isProven(server.major))
      findings.push({
        severity: 'warns',
        code: 'unproven_version',
        message: `PostgreSQL ${server.major} is not among the versions that the tests run: unproven.`,
        statement: null,
      });
    const replication = await findForbiddenReplication(session, connection, context);
    findings.push(...replication.findings, ...(await findSettings(session, server.major, wish)));
    if (facts.tablespaces.length > 0) findings.push(tablespaceFinding(server.major, facts.tablespaces));
    if (programs) findings.push(...(await findLocales(facts.locales, programs, context)));
    findings.push(
      ...(await findContentFindings(
        facts.databases,
        connection,
        context,
        programs ? toolCommand(programs, 'postgres') : null,
      )),
    );
    const refusals = findings.filter(({ severity }) => severity === 'refuses');
    // Slots are the log archive's need alone.
    const full = refusals.every(({ code }) => code === 'max_replication_slots');
    const pitr = refusals.length === 0;
    const hasSummaries = !findings.some(({ code }) => code === 'summarize_wal_off');
    const incremental = full && (Number(server.major) >= INCREMENTAL_FROM ? hasSummaries : pitr);
    const reasons = refusals.map(({ message }) => message);
    if (replication.forbiddenBy !== null)
      reasons.push('Backups by dump remain possible: protect the database by a plan.');
    return {
      server,
      role: isReplica ? 'replica' : 'primary',
      sizeBytes: facts.sizeBytes,
      databases: facts.databases,
      full,
      incremental,
      pitr,
      reason: reasons.length === 0 ? null : reasons.join(' '),
      findings,
    };
  } catch (error) {
    throw mapQueryError(error, connection, `Inspecting ${connection.host}:${connection.port} failed`, 'internal');
  } finally {
    await session.close();
  }
}
