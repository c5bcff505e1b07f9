import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { TidemarkError } from '../../../domain/errors.js';
import type { RecoverableBackup } from '../../chain-engine.js';
import type { EngineContext } from '../../engine.js';
import { serverErrorNumber } from '../failures.js';
import { loadParts } from '../load.js';
import { writeOptionFile } from '../option-file.js';
import { accountName, quoteName } from '../quote.js';
import type { Session } from '../session.js';
import { applyCounters } from '../staging.js';
import { requireClientTools } from '../tools.js';
import { COUNTERS_FILE, parseCountersFile } from './counters-file.js';
import { listDatabases } from './list-databases.js';
import { ACCOUNTS_FILE, parseAccountsFile, SANDBOX_ADMIN } from './read-accounts.js';
import type { SandboxPlace } from './sandbox-place.js';
import type { SandboxServer } from './sandbox-server.js';
import { TIME_ZONES_FILE } from './time-zones-file.js';

/** In the order in which they are loaded. */
export const SQL_PARTS = [TIME_ZONES_FILE, 'dump.sql', 'floats.sql', 'triggers.sql', 'events.sql'];
/** The authentication plugin of an account is not installed here (MySQL; MariaDB). */
const PLUGIN_MISSING = new Set([1524, 1526]);
/**
 * Grants that cannot be given here and change nothing of what is recovered: dynamic privileges of components that are not installed, and
 * grants on tables and routines that are gone.
 */
const GRANT_WITHOUT_OBJECT = new Set([3619, 3929, 1146, 1305, 1149]);

const PROXY_DENIED = 1698;

function partOf(backup: RecoverableBackup, name: string) {
  return backup.parts.find((part) => part.name === name);
}

async function readSmall(backup: RecoverableBackup, name: string, signal: AbortSignal): Promise<Buffer> {
  const part = partOf(backup, name);
  if (part === undefined) throw new TidemarkError('sandbox_failed', `Backup ${backup.backupId} has no ${name}.`);
  return buffer(await part.open(signal));
}

/** All accounts of the sandbox but ours and the system's. */
async function otherAccounts(session: Session): Promise<string[]> {
  const roles = session.connection.engine === 'mysql' ? '' : "WHERE is_role = 'N'";
  const rows = await session.rows(`SELECT User AS user, Host AS host FROM mysql.user ${roles}`);
  return rows
    .filter(({ user }) => user !== SANDBOX_ADMIN && !/^(mysql\.|mariadb\.sys$)/.test(user ?? ''))
    .map(({ user, host }) => accountName(user ?? '', host ?? ''));
}

/** Who a statement is about, for messages: its rest may be a password's hash. */
const subjectOf = (statement: string) =>
  /`(?:[^`]|``)*`(?:@`(?:[^`]|``)*`)?/.exec(statement.replace(/^GRANT [\s\S]* TO /, ''))?.[0] ?? 'an account';

async function createAccount(session: Session, statement: string): Promise<void> {
  try {
    await session.raw(statement);
  } catch (error) {
    const name = /^CREATE USER (`(?:[^`]|``)*`@`(?:[^`]|``)*`)/.exec(statement)?.[1];
    if (!PLUGIN_MISSING.has(serverErrorNumber(error) ?? 0) || name === undefined) throw accountError(statement, error);
    // It cannot log in here, but grants and definers find it.
    await session.raw(`CREATE USER ${name} ACCOUNT LOCK`);
  }
}

function accountError(statement: string, error: unknown): TidemarkError {
  return new TidemarkError(
    'sandbox_failed',
    `Making ${subjectOf(statement)} in the sandbox failed (server error ${serverErrorNumber(error) ?? 'unknown'}).`,
    {},
    { cause: error },
  );
}

/** Loads a full into a new sandbox: accounts, all databases, grants, counters. Afterwards the server is what the source was at its position. */
export async function loadFull(
  place: SandboxPlace,
  server: SandboxServer,
  backup: RecoverableBackup,
  major: string,
  context: EngineContext,
): Promise<void> {
  const statements = parseAccountsFile(await readSmall(backup, ACCOUNTS_FILE, place.signal));
  const isCreate = (statement: string) => /^CREATE (USER|ROLE) /.test(statement);
  const session = await server.session();
  try {
    // A new server brings accounts of its own; the source's of the same name are made anew.
    for (const account of await otherAccounts(session)) await session.rows(`DROP USER ${account}`);
    for (const statement of statements.filter(isCreate)) await createAccount(session, statement);
    // A view is made only when its definer may do what it does, by grants that need the objects of the dump first.
    const accounts = await otherAccounts(session);
    for (const account of accounts) await session.rows(`GRANT ALL PRIVILEGES ON *.* TO ${account}`);
    const tools = await requireClientTools(place.brand, major, context.toolRoots);
    const file = await writeOptionFile(server.connection, context.scratchDir);
    try {
      const parts = backup.parts.filter((part) => SQL_PARTS.includes(part.name));
      await loadParts(
        {
          brand: place.brand,
          command: tools.client,
          optionFile: file.path,
          connection: server.connection,
          database: null,
          lockName: 'tidemark sandbox',
          signal: place.signal,
        },
        parts.map(({ name, open }) => ({
          name,
          open: async () => Readable.from(await open(place.signal), { objectMode: false }),
        })),
        false,
      );
    } finally {
      await file.remove();
    }
    for (const account of accounts) await session.rows(`REVOKE ALL PRIVILEGES, GRANT OPTION FROM ${account}`);
    for (const statement of statements.filter((one) => !isCreate(one))) {
      try {
        await session.raw(statement);
      } catch (error) {
        const number = serverErrorNumber(error) ?? 0;
        // MariaDB lets nobody give the right to stand in for others but who has it for just these; nobody logs in by it here.
        const proxy = number === PROXY_DENIED && statement.startsWith('GRANT PROXY ');
        if (!proxy && !GRANT_WITHOUT_OBJECT.has(number)) throw accountError(statement, error);
      }
    }
    const present = new Set(await listDatabases(session));
    for (const { database, ...counters } of parseCountersFile(await readSmall(backup, COUNTERS_FILE, place.signal))) {
      if (!present.has(database))
        throw new TidemarkError('sandbox_failed', `Database ${quoteName(database)} is missing in the sandbox.`);
      await applyCounters(session, database, counters);
    }
  } finally {
    await session.close();
  }
}
