/**
 * The replication slot of an archive on its source. It makes the server keep its log, and nobody streams from it: only what is durable in
 * the store moves it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { TidemarkError } from '../../../domain/errors.js';
import type { DatabaseConnection } from '../../engine.js';
import type { Session } from '../connect.js';
import { mapQueryError } from '../map-error.js';
import { quoteName, quoteText } from '../quote.js';

/** The longest name of a slot (NAMEDATALEN - 1). */
const LONGEST_NAME = 63;

/** How long a walsender that was told to end may take, in milliseconds. */
const END_WAIT_MS = 10_000;

export type SlotState = {
  /** Null while the slot holds nothing. */
  readonly restartLsn: string | null;
  readonly activePid: number | null;
  /** The server has removed log that the slot still needed: it is of no use any more. */
  readonly lost: boolean;
};

/** Null when there is no such slot. */
export async function readSlot(session: Session, slot: string): Promise<SlotState | null> {
  const [row] = await session.rows(
    `SELECT restart_lsn::text AS lsn, active_pid::text AS pid, wal_status FROM pg_catalog.pg_replication_slots WHERE slot_name = ${quoteText(slot)}`,
  );
  if (row === undefined) return null;
  return {
    restartLsn: row.lsn ?? null,
    activePid: row.pid == null ? null : Number(row.pid),
    lost: row.wal_status === 'lost',
  };
}

function sqlState(error: unknown): string {
  return String((error as { code?: unknown })?.code ?? '');
}

async function createSlot(session: Session, slot: string): Promise<void> {
  try {
    await session.run(`SELECT pg_catalog.pg_create_physical_replication_slot(${quoteText(slot)}, true)`);
  } catch (error) {
    throw mapSlotError(error, session.connection, `Creating the replication slot ${quoteName(slot)} failed`);
  }
}

/** Drops a slot, after ending who still streams from it. A slot that is gone already is a success. */
export async function dropSlot(session: Session, slot: string): Promise<void> {
  const end = Date.now() + END_WAIT_MS;
  for (;;) {
    const state = await readSlot(session, slot);
    if (state === null) return;
    try {
      if (state.activePid !== null) await session.run(`SELECT pg_catalog.pg_terminate_backend(${state.activePid})`);
      else {
        await session.run(`SELECT pg_catalog.pg_drop_replication_slot(${quoteText(slot)})`);
        return;
      }
    } catch (error) {
      // Gone in between (undefined_object), or taken again (object_in_use).
      if (sqlState(error) === '42704') return;
      if (sqlState(error) !== '55006')
        throw mapSlotError(error, session.connection, `Dropping the replication slot ${quoteName(slot)} failed`);
    }
    if (Date.now() > end)
      throw new TidemarkError(
        'source_busy',
        `The replication slot ${quoteName(slot)} on ${session.connection.host} is still in use by process ${state.activePid ?? 'unknown'}, which did not end within ${END_WAIT_MS / 1000} s.`,
        { object: slot },
      );
    await sleep(50);
  }
}

/** The second slot that archives had while `pg_receivewal` received for them: nobody would move it any more, and the server's disk would fill. */
export async function dropFormerSlot(session: Session, slot: string): Promise<void> {
  await dropSlot(session, `${slot}_rcv`);
}

/** What was found instead of a holding slot that holds, before it was made anew. */
export type SlotFound = 'kept' | 'missing' | 'lost';

/** Makes sure that the holding slot is there and holds. Returns from which LSN on, and what was there before. */
export async function ensureHoldingSlot(session: Session, slot: string): Promise<{ lsn: string; found: SlotFound }> {
  if (!/^[a-z0-9_]+$/.test(slot) || slot.length > LONGEST_NAME)
    throw new Error(`not usable as the name of a replication slot: ${JSON.stringify(slot)}`);
  const before = await readSlot(session, slot);
  if (before?.restartLsn && !before.lost) return { lsn: before.restartLsn, found: 'kept' };
  if (before !== null) await dropSlot(session, slot);
  await createSlot(session, slot);
  const made = await readSlot(session, slot);
  if (!made?.restartLsn)
    throw new TidemarkError(
      'log_not_kept',
      `The replication slot ${quoteName(slot)} on ${session.connection.host} holds no log although it was just created.`,
      { object: slot },
    );
  return { lsn: made.restartLsn, found: before === null ? 'missing' : 'lost' };
}

function mapSlotError(error: unknown, connection: DatabaseConnection, doing: string): TidemarkError {
  const state = sqlState(error);
  const text = String((error as { message?: unknown })?.message ?? '');
  const kept = (why: string, statement: string) =>
    new TidemarkError(
      'log_not_kept',
      `${doing}: ${why} Run as an administrator: ${statement} It takes effect with the next start of the server.`,
      { statement },
      { cause: error },
    );
  if (state === '42501') {
    const statement = `ALTER ROLE ${quoteName(connection.username)} REPLICATION;`;
    return new TidemarkError(
      'privilege_missing',
      `${doing}: ${connection.username} lacks the REPLICATION attribute. Run: ${statement}`,
      { statement },
      { cause: error },
    );
  }
  if (state === '53400' || /max_replication_slots/.test(text))
    return kept('the server has no replication slot left.', 'ALTER SYSTEM SET max_replication_slots = 20;');
  if (/wal_level/.test(text)) return kept('its wal_level is too low.', "ALTER SYSTEM SET wal_level = 'replica';");
  return mapQueryError(error, connection, doing, 'internal');
}
