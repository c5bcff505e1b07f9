/**
 * The database of the soak: a ledger whose whole content follows from its seed and the number of its last transaction. One look at a
 * restored copy therefore tells whether it is exactly one moment of the source, and which.
 */
import { createHash } from 'node:crypto';
import type { EngineKind } from '../../src/domain/engine-kinds.js';
import { createRandom } from './random.js';
import type { Account, Sql } from './sql.js';
import { openSql, quoteName, withSql } from './sql.js';

export type Ledger = {
  readonly engine: EngineKind;
  readonly seed: string;
  /** Rows of the table that gives the dump its size, and how much each holds (32 characters a unit). */
  readonly bulkRows: number;
  readonly bulkUnits: number;
};

const ACCOUNTS = 50;

type Step = {
  readonly payload: string;
  readonly from: number;
  readonly to: number;
  readonly amount: number;
  readonly bulkId: number;
  /** Number of the entry that this transaction removes, or null. */
  readonly removes: number | null;
};

/** What transaction `n` does. */
function stepOf(ledger: Ledger, n: number): Step {
  const random = createRandom(ledger.seed, n);
  const text = createHash('sha256').update(`${ledger.seed}:${n}`).digest('hex');
  return {
    payload: `${n} 🌊 ${text.repeat(random.int(1, 8))} ü'"\\`,
    from: random.int(1, ACCOUNTS),
    to: random.int(1, ACCOUNTS),
    amount: random.int(1, 999),
    bulkId: random.int(1, ledger.bulkRows),
    removes: n > 10 && n % 7 === 0 ? n - 5 : null,
  };
}

export async function createLedger(account: Account, name: string, ledger: Ledger): Promise<void> {
  const quoted = quoteName(account.engine, name);
  await withSql(account, undefined, (sql) =>
    sql.query(`create database ${quoted}${account.engine === 'postgresql' ? '' : ' character set utf8mb4'}`),
  );
  const sql = await openSql(account, name);
  try {
    const statements = account.engine === 'postgresql' ? postgresqlSchema : mysqlSchema;
    for (const statement of statements) await sql.query(statement);
    for (let from = 1; from <= ledger.bulkRows; from += 1_000) {
      const to = Math.min(ledger.bulkRows, from + 999);
      await sql.query(fill(ledger, from, to));
    }
    for (let id = 1; id <= ACCOUNTS; id += 1) await sql.query('insert into accounts values (?, 0)', [id]);
    await sql.query('insert into state values (1, 0)');
  } finally {
    await sql.close();
  }
}

/** Number of the last transaction that the database holds. */
export async function readState(sql: Sql): Promise<number> {
  const [row] = await sql.query<{ n: string | number }>('select n from state where id = 1');
  if (row === undefined) throw new Error('the ledger has no state');
  return Number(row.n);
}

/** Runs transaction `n`; false when the database does not stand at `n - 1`. What throws may or may not have been committed. */
export async function runStep(sql: Sql, ledger: Ledger, n: number): Promise<boolean> {
  const step = stepOf(ledger, n);
  await sql.query('begin');
  if ((await sql.change('update state set n = ? where id = 1 and n = ?', [n, n - 1])) !== 1) {
    await sql.query('rollback');
    return false;
  }
  await sql.query('insert into ledger (n, payload) values (?, ?)', [n, step.payload]);
  await sql.query('update accounts set balance = balance - ? where id = ?', [step.amount, step.from]);
  await sql.query('update accounts set balance = balance + ? where id = ?', [step.amount, step.to]);
  await sql.query(`update bulk_data set version = ${n}, body = ${bodyOf(ledger, 'id', String(n))} where id = ?`, [
    step.bulkId,
  ]);
  if (step.removes !== null) await sql.query('delete from ledger where n = ?', [step.removes]);
  await sql.query('commit');
  return true;
}

/** Reads a ledger nobody writes to and compares every row with what its seed says; the transaction it stands at. Throws naming what differs. */
export async function verifyLedger(account: Account, name: string, ledger: Ledger): Promise<number> {
  return await withSql(account, name, async (sql) => {
    const n = await readState(sql);
    const entries = new Map<number, string>();
    const balances = new Array<number>(ACCOUNTS + 1).fill(0);
    const versions = new Array<number>(ledger.bulkRows + 1).fill(0);
    for (let at = 1; at <= n; at += 1) {
      const step = stepOf(ledger, at);
      entries.set(at, step.payload);
      balances[step.from] = (balances[step.from] ?? 0) - step.amount;
      balances[step.to] = (balances[step.to] ?? 0) + step.amount;
      versions[step.bulkId] = at;
      if (step.removes !== null) entries.delete(step.removes);
    }
    const where = `${name} at transaction ${n}`;
    const rows = await sql.query<{ n: string | number; payload: string }>('select n, payload from ledger');
    if (rows.length !== entries.size) throw new Error(`${where}: ledger has ${rows.length} rows, not ${entries.size}`);
    for (const row of rows)
      if (entries.get(Number(row.n)) !== row.payload) throw new Error(`${where}: ledger row ${row.n} differs`);
    const accounts = await sql.query<{ id: number; balance: string | number }>('select id, balance from accounts');
    if (accounts.length !== ACCOUNTS) throw new Error(`${where}: ${accounts.length} accounts`);
    for (const row of accounts)
      if (balances[row.id] !== Number(row.balance)) throw new Error(`${where}: balance of account ${row.id} differs`);
    const bulk = await sql.query<{ id: number; version: string | number; good: number }>(
      `select id, version, case when body = ${bodyOf(ledger, 'id', 'version')} then 1 else 0 end as good from bulk_data`,
    );
    if (bulk.length !== ledger.bulkRows) throw new Error(`${where}: bulk_data has ${bulk.length} rows`);
    for (const row of bulk)
      if (Number(row.good) !== 1 || versions[row.id] !== Number(row.version))
        throw new Error(`${where}: row ${row.id} of bulk_data differs`);
    const [audit] = await sql.query<{ found: string | number }>('select count(*) as found from audit');
    if (Number(audit?.found) !== n) throw new Error(`${where}: the trigger's audit has ${audit?.found} rows`);
    const [view] = await sql.query<{ total: string | number | null }>(
      'select sum(balance) as total from rich_and_poor',
    );
    if (Number(view?.total ?? 0) !== 0) throw new Error(`${where}: the view's total is ${view?.total}`);
    return n;
  });
}

const tables = (text: string) => [
  'create table state (id int primary key, n bigint not null)',
  `create table ledger (n bigint primary key, payload ${text} not null)`,
  'create table accounts (id int primary key, balance bigint not null)',
  `create table bulk_data (id int primary key, version bigint not null, body ${text} not null)`,
  'create table audit (n bigint not null)',
  'create index audit_n on audit (n)',
  'create view rich_and_poor as select id, balance from accounts',
];

const postgresqlSchema = [
  ...tables('text'),
  'create function note_entry() returns trigger language plpgsql as $$ begin insert into audit values (new.n); return new; end $$',
  'create trigger ledger_audit after insert on ledger for each row execute function note_entry()',
  'create sequence loose_sequence start 7',
];

const mysqlSchema = [
  ...tables('longtext'),
  'create trigger ledger_audit after insert on ledger for each row insert into audit values (new.n)',
  'create procedure count_entries() select count(*) from ledger',
];

function fill(ledger: Ledger, from: number, to: number): string {
  return ledger.engine === 'postgresql'
    ? `insert into bulk_data select g, 0, ${bodyOf(ledger, 'g', '0')} from generate_series(${from}, ${to}) g`
    : `insert into bulk_data with recursive g(n) as (select ${from} union all select n + 1 from g where n < ${to})
         select n, 0, ${bodyOf(ledger, 'n', '0')} from g`;
}

/** MySQL 9.7 has no md5 any more, PostgreSQL no sha2. */
function bodyOf(ledger: Ledger, id: string, version: string): string {
  const text = `concat(${id}, ':', ${version})`;
  return `repeat(${ledger.engine === 'postgresql' ? `md5(${text})` : `sha2(${text}, 256)`}, ${ledger.bulkUnits})`;
}
