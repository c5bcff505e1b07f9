import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { EngineKind } from '../../src/domain/engine-kinds.js';
import type { RecoveryWindowResource } from '../../src/domain/schemas/policies.js';
import type { RestoreResource } from '../../src/domain/schemas/restores.js';
import type { Account, Sql } from '../soak/sql.js';
import { withSql } from '../soak/sql.js';
import type { DemoContext, RegisteredSource } from './attach-sources.js';
import { askUntil } from './attach-sources.js';
import type { DemoSource } from './sources.js';

/** One recovery to a moment: what the source held then and holds now, and what was found in the recovered database. */
export type MomentResult = {
  readonly title: string;
  /** RFC 3339, UTC, by the source's own clock. */
  readonly moment: string;
  readonly before: number;
  readonly after: number;
  readonly left: number;
  readonly found: number;
  readonly restoredName: string;
  readonly proof: string | null;
  /** From the request to the swapped-in database. */
  readonly seconds: number;
  /** The rows found are those of the moment: none missing, none more, none different. */
  readonly exact: boolean;
};

const ROWS_BEFORE = 12;
const ROWS_AFTER = 5;
// MariaDB's log has whole seconds: a moment with a second to spare on both sides means the same rows on every engine.
const CLEAR_OF_COMMITS_MS = 1_500;
const WINDOW_WITHIN_MS = 180_000;
const RESTORE_WITHIN_MS = 600_000;

const familyClock = `select concat(left(date_format(utc_timestamp(3), '%Y-%m-%dT%H:%i:%s.%f'), 23), 'Z') as moment`;
const clocks: Record<EngineKind, string> = {
  postgresql: `select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as moment`,
  mysql: familyClock,
  mariadb: familyClock,
};

/** Number and time of every row of `visits`. */
async function readVisits(sql: Sql): Promise<string[]> {
  const rows = await sql.query<{ n: number; at: Date }>('select n, at from visits order by n');
  return rows.map(({ n, at }) => `${n} ${at.toISOString()}`);
}

/** One commit per row. */
async function visit(sql: Sql, from: number, rows: number): Promise<void> {
  for (let n = from; n < from + rows; n += 1) {
    await sql.query('insert into visits (n) values (?)', [n]);
    await sleep(50);
  }
}

/** Writes rows with a moment between two of their commits, and then makes the mistake that the demo recovers from. */
async function writeAndErr(
  account: Account,
  database: string,
): Promise<{ moment: string; then: string[]; left: number }> {
  return withSql(account, database, async (sql) => {
    await sql.query('create table visits (n int primary key, at timestamp(6) not null default current_timestamp(6))');
    await visit(sql, 1, ROWS_BEFORE);
    const then = await readVisits(sql);
    await sleep(CLEAR_OF_COMMITS_MS);
    const [clock] = await sql.query<{ moment: string }>(clocks[account.engine]);
    await sleep(CLEAR_OF_COMMITS_MS);
    await visit(sql, ROWS_BEFORE + 1, ROWS_AFTER);
    // A WHERE was forgotten.
    await sql.query('delete from visits');
    return { moment: clock?.moment ?? '', then, left: (await readVisits(sql)).length };
  });
}

/** Writes, errs, and restores the moment before the mistake under another name: through the public API, but for the application's own SQL. */
export async function recoverMoment(
  context: DemoContext,
  source: DemoSource,
  { title, databaseId }: RegisteredSource,
): Promise<MomentResult> {
  const { api, say } = context;
  const account = { ...source, engine: source.server.engine, port: source.server.port };
  const { moment, then, left } = await writeAndErr(account, source.database);
  await askUntil(
    context,
    async () => {
      const window = await api.get<RecoveryWindowResource>(`/v1/databases/${databaseId}/recovery-window`);
      return window.to !== null && Date.parse(window.to) > Date.parse(moment) ? window : null;
    },
    `the recovery window of ${title} to reach ${moment}`,
    WINDOW_WITHIN_MS,
  );
  const restoredName = `${source.database}_at_moment`;
  const startedAt = Date.now();
  const { id } = await api.post<RestoreResource>('/v1/restores', {
    source: { kind: 'pitr', databaseId, time: moment },
    target: { kind: 'server', databaseId, database: restoredName },
  });
  const restore = await api.untilSettled<RestoreResource>(`/v1/restores/${id}`, { withinMs: RESTORE_WITHIN_MS });
  const seconds = (Date.now() - startedAt) / 1000;
  if (restore.status !== 'completed')
    throw new Error(`${title}: the restore to ${moment} ${restore.status}: ${restore.error?.message}`);
  const found = await withSql(account, restoredName, readVisits);
  const exact = then.length === ROWS_BEFORE && isDeepStrictEqual(found, then);
  say(`  ${title}: ${moment} restored as ${restoredName}, ${exact ? 'exactly its rows' : 'OTHER ROWS'} in it`);
  return {
    title,
    moment,
    before: then.length,
    after: ROWS_AFTER,
    left,
    found: found.length,
    restoredName,
    proof: restore.proof,
    seconds,
    exact,
  };
}
