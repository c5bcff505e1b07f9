import type { Brand } from './brand.js';
import { serverErrorNumber } from './failures.js';
import { quoteIn } from './quote.js';
import type { Session } from './session.js';
import type { DatabaseTables, TableEntry } from './table-shapes.js';

/** From asking for the lock to giving it back, in milliseconds: no write of an application may wait longer than 2 s. */
export const HOLD_LIMIT_MS = 1_800;
/** How long the lock itself may be waited for, in milliseconds: writes queue behind a waiting lock as behind a held one. */
const WAIT_LIMIT_MS = 1_300;

/**
 * The server itself ends the connection, and with it the lock, when nothing is heard of us for so long (seconds): a worker that is stopped,
 * or whose host is gone, could otherwise hold up every write until the network notices, which takes hours.
 */
const SILENCE_SECONDS = 3;
/** As `openSession` sets it. */
const USUAL_SILENCE_SECONDS = 86_400;

/** A short stop of writes to one database. */
export type Hold = {
  /** Milliseconds left until it must be released. */
  left(): number;
  release(): Promise<void>;
};

/** Why it could not be had: `denied` will not change, `busy` may. */
export type Refusal = { readonly refused: 'denied' | 'busy'; readonly message: string };

const deniedNumbers = new Set([1044, 1142, 1143, 1227]);
/** Lock wait timeout, query interrupted by us, deadlock, killed at max_statement_time; a table gone since it was listed. */
const busyNumbers = new Set([1205, 1213, 1317, 1969, 3024, 1146]);

/**
 * LOCK TABLES … READ on every table of the databases. Beside FLUSH TABLES WITH READ LOCK it needs no server-wide privilege, stops only
 * these databases, and leaves nothing behind when it gives up: on MySQL a FLUSH that timed out behind a long SELECT makes every later
 * write to that table wait until the SELECT ends (measured: 10 s behind a 12 s SELECT).
 * A transaction that has written and is still open holds it up; a SELECT does not.
 */
function lockTablesStatement(databases: readonly DatabaseTables[]): string | null {
  const names = databases.flatMap(({ schema, tables }) =>
    tables.filter((table) => table.kind !== 'view').map((table) => `${quoteIn(schema, table.name)} READ`),
  );
  return names.length === 0 ? null : `LOCK TABLES ${names.join(', ')}`;
}

async function take(control: Session, helper: Session, statement: string): Promise<Hold | Refusal> {
  const since = performance.now();
  // The server counts lock_wait_timeout for each lock anew, so a second connection ends a wait over many tables.
  const timer = setTimeout(() => {
    void helper.raw(`KILL QUERY ${control.id}`).catch(() => {});
  }, WAIT_LIMIT_MS);
  try {
    await control.raw(`SET SESSION lock_wait_timeout = 1, SESSION wait_timeout = ${SILENCE_SECONDS}`);
    await control.raw(statement);
  } catch (error) {
    const number = serverErrorNumber(error);
    if (number !== null && (deniedNumbers.has(number) || busyNumbers.has(number))) {
      // A FLUSH that was interrupted half-way may still hold its first lock.
      await control.raw('UNLOCK TABLES');
      await control.raw(`SET SESSION wait_timeout = ${USUAL_SILENCE_SECONDS}`);
      const message = String((error as { sqlMessage?: unknown }).sqlMessage ?? '');
      return { refused: deniedNumbers.has(number) ? 'denied' : 'busy', message };
    }
    throw error;
  } finally {
    clearTimeout(timer);
  }
  return {
    left: () => HOLD_LIMIT_MS - (performance.now() - since),
    release: async () => {
      await control.rows('UNLOCK TABLES', [], 'Releasing the lock failed');
      await control.rows(`SET SESSION wait_timeout = ${USUAL_SILENCE_SECONDS}`);
    },
  };
}

/**
 * Stops writes to a database for at most HOLD_LIMIT_MS. `control` carries the lock, `helper` breaks a wait that lasts too long.
 * MariaDB takes FLUSH TABLES WITH READ LOCK first: there it waits neither for SELECTs nor for open transactions.
 */
export async function holdWrites(
  control: Session,
  helper: Session,
  brand: Brand,
  schema: string,
  tables: readonly TableEntry[],
): Promise<Hold | Refusal> {
  return holdWritesOf(control, helper, brand, [{ schema, tables }]);
}

/** As `holdWrites`, for several databases at once. */
export async function holdWritesOf(
  control: Session,
  helper: Session,
  brand: Brand,
  databases: readonly DatabaseTables[],
): Promise<Hold | Refusal> {
  if (brand.lock === 'global') {
    const hold = await take(control, helper, 'FLUSH TABLES WITH READ LOCK');
    if (!('refused' in hold) || hold.refused === 'busy') return hold;
  }
  const statement = lockTablesStatement(databases);
  // Without a table there is nothing that could be written.
  if (statement === null) return { left: () => HOLD_LIMIT_MS, release: async () => {} };
  return take(control, helper, statement);
}
