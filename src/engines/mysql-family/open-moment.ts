import { setTimeout as sleep } from 'node:timers/promises';
import type { LogPosition } from '../../domain/positions.js';
import type { Brand } from './brand.js';
import type { RunningDump } from './dump-tool.js';
import type { Counters } from './fingerprint.js';
import { readCounters } from './fingerprint.js';
import { holdWritesOf } from './hold-writes.js';
import { readClock } from './server.js';
import type { Session } from './session.js';
import type { DatabaseTables } from './table-shapes.js';
import { listTablesOf } from './table-shapes.js';

/** Tries to stop the writes, and pauses between them (milliseconds): a busy source is not stalled again and again. */
const LOCK_TRIES = 6;
const LOCK_PAUSE_MS = 2_500;
/** Tries on sources on which nothing can be locked. */
const QUIET_TRIES = 4;
/** A commit is visible a moment before its GTID is listed: so long nothing may be listed before and after, in milliseconds. */
const QUIET_MS = 250;

/** A database at the moment of its snapshot. */
export type DatabaseMoment = DatabaseTables & { readonly counters: Counters };

/** What was opened at one moment: the dump tool's snapshot and the reader's. */
export type Moment = {
  readonly position: LogPosition;
  readonly takenAt: string;
  readonly databases: readonly DatabaseMoment[];
  readonly dump: RunningDump;
  /** Why the two snapshots may differ from each other or from the position; null when they do not. */
  readonly unavailable: string | null;
};

export type Opening = {
  readonly brand: Brand;
  readonly schemas: readonly string[];
  readonly control: Session;
  readonly reader: Session;
  startTool(databases: readonly DatabaseTables[]): Promise<RunningDump>;
  /**
   * Also looked at while writes are stopped: a reason to try again, or null. The locks of MySQL hold tables only, so that whoever needs
   * the position of the whole server asks here whether anything else was committed meanwhile.
   */
  readonly disturbed?: () => Promise<string | null>;
};

const beginSnapshot = async (session: Session) => {
  await session.rows('ROLLBACK');
  await session.rows('SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ');
  await session.rows('START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY', [], 'Opening the snapshot failed');
};

/** Waits for the tool's snapshot, but no longer than the lock may be held. */
async function openedWithin(dump: RunningDump, milliseconds: number): Promise<boolean> {
  const late = new AbortController();
  try {
    return await Promise.race([
      dump.snapshotOpen.then(() => true),
      sleep(Math.max(0, milliseconds), false, { signal: late.signal }).catch(() => false),
    ]);
  } finally {
    late.abort();
  }
}

async function readMoment(opening: Opening): Promise<Omit<Moment, 'dump' | 'unavailable'>> {
  const { reader, brand, schemas } = opening;
  await beginSnapshot(reader);
  const position = await brand.position(reader);
  const databases: DatabaseMoment[] = [];
  const takenAt = await readClock(reader);
  for (const { schema, tables } of await listTablesOf(reader, schemas)) {
    databases.push({ schema, tables, counters: await readCounters(reader, schema, tables) });
  }
  return { position, takenAt, databases };
}

const namesOf = (databases: readonly DatabaseTables[]) =>
  JSON.stringify(databases.map(({ schema, tables }) => [schema, tables.map((table) => table.name)]));

/** Both snapshots under the lock: exact. The last reason when it could not be had. */
export async function openLocked(opening: Opening): Promise<Moment | { readonly reason: string }> {
  let reason = '';
  for (let attempt = 1; attempt <= LOCK_TRIES; attempt++) {
    if (attempt > 1) await sleep(LOCK_PAUSE_MS);
    const expected = await listTablesOf(opening.reader, opening.schemas);
    const hold = await holdWritesOf(opening.control, opening.reader, opening.brand, expected);
    if ('refused' in hold) {
      reason = hold.message;
      if (hold.refused === 'denied') break;
      continue;
    }
    let dump: RunningDump | null = null;
    let opened: Moment | null = null;
    try {
      dump = await opening.startTool(expected);
      const moment = await readMoment(opening);
      if (namesOf(expected) !== namesOf(moment.databases)) reason = 'tables were created or dropped meanwhile';
      else if (await openedWithin(dump, hold.left())) {
        const disturbance = (await opening.disturbed?.()) ?? null;
        if (disturbance === null) opened = { ...moment, dump, unavailable: null };
        else reason = disturbance;
      } else reason = 'the dump tool did not open its snapshot in time';
    } catch (error) {
      // The connection with the lock may be what broke: that it cannot let go must not hide why, nor leave the tool running.
      await hold.release().catch(() => {});
      await dump?.kill();
      throw error;
    }
    try {
      await hold.release();
    } catch (error) {
      await dump?.kill();
      throw error;
    }
    if (opened !== null) return opened;
    await dump?.kill();
  }
  return { reason };
}

/** Without a lock: both snapshots while the server commits nothing. A source that is never quiet gives a dump without fingerprint. */
export async function openQuiet(opening: Opening, refusal: string): Promise<Moment> {
  const mark = () => opening.brand.commitMark(opening.reader);
  let dump: RunningDump | null = null;
  for (let attempt = 1; ; attempt++) {
    const first = await mark();
    if (first !== null) await sleep(QUIET_MS);
    const moment = await readMoment(opening);
    dump = await opening.startTool(moment.databases);
    await dump.snapshotOpen;
    if (first !== null) await sleep(QUIET_MS);
    if (first !== null && first === (await mark())) return { ...moment, dump, unavailable: null };
    if (first === null || attempt >= QUIET_TRIES) {
      const why =
        first === null ? 'its server keeps no binary log to compare' : 'the server committed in every try without it';
      return {
        ...moment,
        dump,
        unavailable: `Writes to ${opening.schemas.join(', ')} could not be stopped for a moment (${refusal}), and ${why}.`,
      };
    }
    await dump.kill();
  }
}

/** The dump tool alone, as `--no-fingerprint` runs of the bench want it. */
export async function openAlone(opening: Opening): Promise<Moment> {
  const moment = await readMoment(opening);
  const dump = await opening.startTool(moment.databases);
  await dump.snapshotOpen;
  return { ...moment, dump, unavailable: 'No fingerprint was asked for.' };
}
