import type { CheckFinding } from '../../engine.js';
import type { Brand } from '../brand.js';
import { serverErrorNumber } from '../failures.js';
import { nonTransactional } from '../open-dump.js';
import { quoteIn } from '../quote.js';
import type { Session } from '../session.js';
import type { DatabaseTables } from '../table-shapes.js';

const MAX_NAMES = 10;

const listNames = (names: readonly string[]) =>
  names.slice(0, MAX_NAMES).join(', ') + (names.length > MAX_NAMES ? ` and ${names.length - MAX_NAMES} more` : '');

/** Storage engines that a server has without a plugin. */
const builtIn: Record<Brand['kind'], ReadonlySet<string>> = {
  mysql: new Set(['innodb', 'myisam', 'memory', 'csv', 'archive', 'blackhole', 'mrg_myisam']),
  mariadb: new Set(['innodb', 'myisam', 'aria', 'memory', 'csv', 'mrg_myisam', 'sequence']),
};

/** Rows, as text; none when the role may not look there. */
async function tryRows(session: Session, sql: string, params: readonly string[] = []) {
  try {
    return await session.raw(sql, params);
  } catch (error) {
    if (serverErrorNumber(error) === null) throw error;
    return [];
  }
}

/** What in the databases recovery could not give back truly, or a sandbox here could not open. */
export async function inspectContent(
  session: Session,
  brand: Brand,
  databases: readonly DatabaseTables[],
): Promise<CheckFinding[]> {
  const findings: CheckFinding[] = [];
  const say = (severity: CheckFinding['severity'], code: string, message: string, statement: string | null = null) =>
    findings.push({ severity, code, message, statement });
  const all = databases.flatMap(({ schema, tables }) => tables.map((table) => ({ schema, table })));
  const full = ({ schema, table }: (typeof all)[number]) => `${schema}.${table.name}`;
  const loose = all.filter(({ table }) => nonTransactional([table]).length > 0);
  if (loose.length > 0) {
    say(
      'warns',
      'non_transactional_tables',
      `Tables of engines without transactions change while they are copied, and a failed statement leaves rows in them that the log tells otherwise: recovered, their rows may belong to another moment, no full has a fingerprint, and a replay may stop at them. ${listNames(loose.map((one) => `${full(one)} (${one.table.engine})`))}.`,
      loose
        .slice(0, MAX_NAMES)
        .map(({ schema, table }) => `ALTER TABLE ${quoteIn(schema, table.name)} ENGINE = InnoDB;`)
        .join(' '),
    );
  }
  const foreign = all.filter(
    ({ table }) =>
      table.kind === 'table' && table.engine !== null && !builtIn[brand.kind].has(table.engine.toLowerCase()),
  );
  if (foreign.length > 0)
    say(
      'refuses',
      'storage_engine_missing',
      `A sandbox has no storage engine from a plugin: ${listNames(foreign.map((one) => `${full(one)} (${one.table.engine})`))}.`,
    );
  const names = databases.map(({ schema }) => schema);
  const marks = names.map(() => '?').join(', ');
  const encrypted = await tryRows(
    session,
    `SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME) AS name FROM information_schema.TABLES
     WHERE TABLE_SCHEMA IN (${marks || "''"}) AND CREATE_OPTIONS REGEXP 'ENCRYPT(ED|ION)=.?(Y|YES)' ORDER BY 1`,
    names,
  );
  if (encrypted.length > 0)
    say(
      'refuses',
      'encrypted_tables',
      `A sandbox has no keys for tables that the server encrypts itself: ${listNames(encrypted.map((row) => row.name ?? ''))}.`,
    );
  const versioned = all.filter(({ table }) => table.versioned);
  if (versioned.length > 0)
    say(
      'info',
      'system_versioned_tables',
      `The history of system-versioned tables is recovered with them: ${listNames(versioned.map(full))}.`,
    );
  const broken = all.filter(({ table }) => table.kind === 'view' && /references invalid/i.test(table.comment));
  if (broken.length > 0)
    say(
      'refuses',
      'invalid_views',
      `The dump tool stops at views that refer to something missing or forbidden: ${listNames(broken.map(full))}.`,
      broken
        .slice(0, MAX_NAMES)
        .map(({ schema, table }) => `DROP VIEW ${quoteIn(schema, table.name)};`)
        .join(' '),
    );
  const functions = await tryRows(session, 'SELECT name FROM mysql.func ORDER BY 1');
  if (functions.length > 0)
    say(
      'warns',
      'loadable_functions',
      `Functions from libraries are not there in a sandbox; views and triggers that call them fail: ${listNames(functions.map((row) => row.name ?? ''))}.`,
    );
  const prepared = await tryRows(session, 'XA RECOVER');
  if (prepared.length > 0)
    say(
      'warns',
      'xa_prepared',
      `${prepared.length} XA transactions are prepared and not decided. While there are any, no full can be taken: commit them or roll them back.`,
    );
  return findings;
}
