import type { CheckFinding, DatabaseConnection } from '../engine.js';
import type { Brand } from './brand.js';
import { findFloatTables } from './exact-floats.js';
import { nonTransactional } from './open-dump.js';
import { quoteIn, quoteName } from './quote.js';
import { readAccounts } from './require-accounts.js';
import type { Row, Session } from './session.js';
import type { TableEntry } from './table-shapes.js';

const MAX_NAMES = 10;

function listNames(names: readonly string[]): string {
  const shown = names.slice(0, MAX_NAMES).join(', ');
  return names.length > MAX_NAMES ? `${shown} and ${names.length - MAX_NAMES} more` : shown;
}

type Say = (severity: CheckFinding['severity'], code: string, message: string, statement?: string) => void;
type Scope = {
  readonly session: Session;
  readonly brand: Brand;
  readonly schema: string;
  readonly tables: readonly TableEntry[];
  readonly say: Say;
};

const named = (rows: readonly Row[]) => rows.map((row) => row.name ?? '');

/** Tables whose rows a consistent dump cannot hold still, or which keep their rows elsewhere. */
function engineRemarks({ tables, schema, say }: Scope): void {
  const loose = nonTransactional(tables);
  if (loose.length > 0) {
    say(
      'warns',
      'non_transactional_tables',
      `Tables of engines without transactions change while they are dumped, so that there is no exact position and no fingerprint: ${listNames(loose.map((table) => `${table.name} (${table.engine})`))}.`,
      loose
        .slice(0, MAX_NAMES)
        .map((table) => `ALTER TABLE ${quoteIn(schema, table.name)} ENGINE = InnoDB;`)
        .join(' '),
    );
  }
  const remote = tables.filter((table) =>
    /^(federated|connect|spider|s3|blackhole|mrg_myisam)$/i.test(table.engine ?? ''),
  );
  if (remote.length > 0) {
    say(
      'warns',
      'rows_kept_elsewhere',
      `These tables keep no rows of their own here; their definitions are dumped, what they point to is not: ${listNames(remote.map((table) => `${table.name} (${table.engine})`))}.`,
    );
  }
}

/** What the dump tool stops at. */
function brokenViews({ tables, schema, say }: Scope): void {
  const broken = tables.filter((table) => table.kind === 'view' && /references invalid/i.test(table.comment));
  if (broken.length === 0) return;
  say(
    'refuses',
    'invalid_views',
    `The dump tool stops at views that refer to something missing or forbidden: ${listNames(broken.map((table) => table.name))}.`,
    broken
      .slice(0, MAX_NAMES)
      .map((view) => `DROP VIEW ${quoteIn(schema, view.name)};`)
      .join(' '),
  );
}

async function logRemarks({ session, brand, schema, say }: Scope): Promise<void> {
  const [row] = await session.rows(
    'SELECT @@global.log_bin AS log_bin, @@global.binlog_format AS format, @@global.binlog_row_image AS image, @@global.binlog_row_metadata AS metadata',
  );
  if (row?.log_bin !== '1') {
    say(
      'info',
      'binary_log_off',
      'The server writes no binary log: dumps are possible, increments and points in time are not.',
    );
    return;
  }
  const want = (code: string, name: string, value: string | null | undefined, needed: string) => {
    if (value === needed) return;
    say(
      'info',
      code,
      `${name} is ${value}; increments and points in time will need ${needed}. Dumps do not.`,
      `SET ${brand.kind === 'mysql' ? 'PERSIST' : 'GLOBAL'} ${name} = ${needed};`,
    );
  };
  want('binlog_format', 'binlog_format', row.format, 'ROW');
  want('binlog_row_image', 'binlog_row_image', row.image, 'FULL');
  want('binlog_row_metadata', 'binlog_row_metadata', row.metadata, 'FULL');
  if (brand.kind === 'mysql') {
    const mode = await session.value('SELECT @@global.gtid_mode');
    if (mode !== 'ON')
      say('info', 'gtid_mode', `gtid_mode is ${mode}: positions are recorded as file and offset only.`);
  }
  const [status] = await session
    .raw(brand.kind === 'mysql' ? 'SHOW BINARY LOG STATUS' : 'SHOW MASTER STATUS')
    .catch(() => []);
  const filters = [status?.Binlog_Do_DB, status?.Binlog_Ignore_DB].filter(Boolean);
  if (filters.length > 0) {
    say(
      'warns',
      'binlog_filters',
      `The server's binary log is filtered (${filters.join('; ')}): changes of ${schema} may be missing in it.`,
    );
  }
}

/** Objects that run as an account that is gone: they are kept as they are, and fail when they are used, here as after a restore. */
async function orphanDefiners({ session, schema, say }: Scope): Promise<void> {
  const present = await readAccounts(session);
  if (present === null) {
    say(
      'info',
      'accounts_unreadable',
      "The role cannot read the server's accounts: only its own grants on the database are recorded, and definers are not looked up.",
      undefined,
    );
    return;
  }
  const rows = await session.rows(
    `SELECT DISTINCT definer, kind, name FROM (
       SELECT DEFINER AS definer, 'view' AS kind, TABLE_NAME AS name FROM information_schema.VIEWS WHERE TABLE_SCHEMA = ?
       UNION ALL SELECT DEFINER, 'trigger', TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = ?
       UNION ALL SELECT DEFINER, LOWER(ROUTINE_TYPE), ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ?
       UNION ALL SELECT DEFINER, 'event', EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ?
     ) AS programs ORDER BY 1, 2, 3`,
    [schema, schema, schema, schema],
  );
  const orphans = rows.filter((row) => row.definer && !present.has(row.definer));
  if (orphans.length === 0) return;
  say(
    'warns',
    'definers_without_account',
    `Objects whose definer does not exist fail when they are used: ${listNames(orphans.map((row) => `${row.kind} ${row.name} (${row.definer})`))}.`,
  );
}

/** FLOAT values of other tables are dumped once more with all their digits (exact-floats.ts). */
async function floatColumns({ session, schema, tables, say }: Scope): Promise<void> {
  const { rounded } = await findFloatTables(session, schema, tables);
  if (rounded.length === 0) return;
  say(
    'warns',
    'float_digits',
    `The dump tool writes FLOAT with six digits, and without a primary key the exact values cannot be added: a comparison after a restore will name these tables when they hold more digits: ${listNames(rounded)}. Use DOUBLE, or add a primary key.`,
  );
}

async function qualifiedNames({ session, brand, schema, tables, say }: Scope): Promise<void> {
  const pattern = `%${quoteName(schema).replaceAll('\\', '\\\\').replaceAll('%', '\\%').replaceAll('_', '\\_')}.%`;
  const views = await session.rows(
    `SELECT TABLE_NAME AS name FROM information_schema.VIEWS AS v WHERE TABLE_SCHEMA = ? AND EXISTS (
       SELECT 1 FROM information_schema.SCHEMATA AS s WHERE s.SCHEMA_NAME <> ?
         AND LOCATE(CONCAT('\`', REPLACE(s.SCHEMA_NAME, '\`', '\`\`'), '\`.'), v.VIEW_DEFINITION) > 0) ORDER BY 1`,
    [schema, schema],
  );
  if (views.length > 0) {
    say(
      'warns',
      'views_across_databases',
      `Views over several databases name this one in their text: restored under another name they still read ${schema}: ${listNames(named(views))}.`,
    );
  }
  if (brand.hasSequences && tables.some((table) => table.kind === 'sequence')) {
    const defaults = await session.rows(
      "SELECT CONCAT(TABLE_NAME, '.', COLUMN_NAME) AS name FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND COLUMN_DEFAULT LIKE ? ORDER BY 1",
      [schema, pattern],
    );
    if (defaults.length > 0) {
      say(
        'warns',
        'sequence_defaults',
        `Column defaults name a sequence together with this database: restored under another name they still use ${schema}: ${listNames(named(defaults))}.`,
      );
    }
  }
  const keys = await session.rows(
    `SELECT CONCAT(TABLE_NAME, '.', CONSTRAINT_NAME, ' to ', UNIQUE_CONSTRAINT_SCHEMA, '.', REFERENCED_TABLE_NAME) AS name
     FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = ? AND UNIQUE_CONSTRAINT_SCHEMA <> ? ORDER BY 1`,
    [schema, schema],
  );
  if (keys.length > 0) {
    say(
      'warns',
      'foreign_keys_across_databases',
      `Foreign keys lead to other databases, which a backup of this one does not hold: ${listNames(named(keys))}.`,
    );
  }
}

async function eventRemarks({ session, schema, tables, say }: Scope): Promise<void> {
  const events = await session.rows(
    "SELECT EVENT_NAME AS name FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ? AND STATUS = 'ENABLED' ORDER BY 1",
    [schema],
  );
  if (events.length > 0) {
    say(
      'info',
      'events',
      `Events are kept in a file of their own and run only once a restore is in place: ${listNames(named(events))}.`,
    );
  }
  const versioned = tables.filter((table) => table.versioned);
  if (versioned.length > 0) {
    say(
      'info',
      'system_versioned_tables',
      `The history of system-versioned tables is dumped and restored: ${listNames(versioned.map((table) => table.name))}.`,
    );
  }
}

/** What a dump leaves out or cannot promise, and what stands in the way of later kinds of backup (design section 4). */
export async function findRemarks(
  session: Session,
  brand: Brand,
  connection: DatabaseConnection,
  tables: readonly TableEntry[],
): Promise<CheckFinding[]> {
  const findings: CheckFinding[] = [];
  const say: Say = (severity, code, message, statement) => {
    findings.push({ severity, code, message, statement: statement ?? null });
  };
  const scope: Scope = { session, brand, schema: connection.database, tables, say };
  brokenViews(scope);
  engineRemarks(scope);
  await logRemarks(scope);
  await orphanDefiners(scope);
  await floatColumns(scope);
  await qualifiedNames(scope);
  await eventRemarks(scope);
  return findings;
}
