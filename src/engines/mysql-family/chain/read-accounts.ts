import type { Brand } from '../brand.js';
import { serverErrorNumber, toEngineError } from '../failures.js';
import { accountName, quoteName } from '../quote.js';
import type { Row, Session } from '../session.js';

/** Accounts that every new server makes for itself. */
const OWN = ['mysql.sys', 'mysql.session', 'mysql.infoschema', 'mariadb.sys'];
/** Administrator of sandboxes: one that a server brought along would shut us out. */
export const SANDBOX_ADMIN = 'tidemark_sandbox';

const NO_SUCH_ACCOUNT = 1133;

export const ACCOUNTS_FILE = 'accounts.sql';

/** Default roles of SHOW CREATE USER: they can be given only once the roles are granted. */
const DEFAULT_ROLE = / DEFAULT ROLE ((?:`(?:[^`]|``)*`@`(?:[^`]|``)*`,?)+)(?= REQUIRE )/;

const texts = (rows: readonly Row[]) => rows.flatMap((row) => Object.values(row)[0] ?? []);

async function readMysql(session: Session): Promise<string[]> {
  // Password hashes hold any bytes.
  await session.rows('SET SESSION print_identified_with_as_hex = ON');
  const users = await session.rows(
    'SELECT User AS user, Host AS host FROM mysql.user ORDER BY User, Host',
    [],
    'Listing the accounts failed',
  );
  const creates: string[] = [];
  const grants: string[] = [];
  const defaults: string[] = [];
  for (const { user, host } of users) {
    if (OWN.includes(user ?? '') || user === SANDBOX_ADMIN) continue;
    const name = accountName(user ?? '', host ?? '');
    const [create = ''] = texts(await session.rows(`SHOW CREATE USER ${name}`, [], `Reading account ${name} failed`));
    const roles = DEFAULT_ROLE.exec(create)?.[1];
    creates.push(create.replace(DEFAULT_ROLE, ''));
    if (roles !== undefined) defaults.push(`ALTER USER ${name} DEFAULT ROLE ${roles}`);
    grants.push(...texts(await session.rows(`SHOW GRANTS FOR ${name}`, [], `Reading the grants of ${name} failed`)));
  }
  return [...creates, ...grants, ...defaults];
}

async function readMariadb(session: Session): Promise<string[]> {
  const users = await session.rows(
    'SELECT User AS user, Host AS host, is_role FROM mysql.user ORDER BY is_role DESC, User, Host',
    [],
    'Listing the accounts failed',
  );
  const creates: string[] = [];
  const grants: string[] = [];
  const defaults: string[] = [];
  for (const { user, host, is_role } of users) {
    if (OWN.includes(user ?? '') || user === SANDBOX_ADMIN) continue;
    const role = is_role === 'Y';
    const everybody = role && user?.toUpperCase() === 'PUBLIC';
    const name = everybody ? 'PUBLIC' : role ? quoteName(user ?? '') : accountName(user ?? '', host ?? '');
    if (role && !everybody) creates.push(`CREATE ROLE ${name}`);
    try {
      if (!role) creates.push(...texts(await session.raw(`SHOW CREATE USER ${name}`)));
      for (const line of texts(await session.raw(`SHOW GRANTS FOR ${name}`))) {
        // The grants of a role repeat those of the roles it was given.
        if (line.startsWith('SET DEFAULT ROLE')) defaults.push(line);
        else if (!role || line.includes(` TO ${name}`)) grants.push(line);
      }
    } catch (error) {
      // A server that looks up no names does not know accounts of named hosts, though they stand in its tables: nobody can log in by one,
      // but statements in the log may name it.
      if (serverErrorNumber(error) === NO_SUCH_ACCOUNT) creates.push(`CREATE USER ${name} ACCOUNT LOCK`);
      else throw toEngineError(error, session.connection, `Reading account ${name} failed`, 'internal');
    }
  }
  return [...creates, ...grants, ...defaults];
}

/**
 * Statements that make every account and role of the server anew, with their password hashes: first all CREATE, then grants, then default
 * roles. The server's own system accounts are left out; `root` is an account like others.
 */
export async function readAccountStatements(session: Session, brand: Brand): Promise<string[]> {
  return brand.kind === 'mysql' ? readMysql(session) : readMariadb(session);
}

export function accountsFile(statements: readonly string[]): Buffer {
  const head =
    '-- Accounts, roles and grants of the server. CREATE statements come before the dump, the others after it.\n';
  return Buffer.from(head + statements.map((statement) => `${statement};\n`).join(''), 'utf8');
}

/** The statements of an accounts file: split at semicolons outside quotes. */
export function parseAccountsFile(body: Buffer): string[] {
  const text = body.toString('utf8').replace(/^(?:-- [^\n]*\n)+/, '');
  const found = text.match(/(?:'(?:[^'\\]|\\[\s\S]|'')*'|`(?:[^`]|``)*`|"(?:[^"\\]|\\[\s\S]|"")*"|[^;'"`])+/g) ?? [];
  return found.map((statement) => statement.trim()).filter((statement) => statement !== '');
}
