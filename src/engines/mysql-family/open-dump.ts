import { finished } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { TidemarkError } from '../../domain/errors.js';
import type { Fingerprint } from '../../domain/fingerprint.js';
import type { LogPosition } from '../../domain/positions.js';
import type { ChildOutput } from '../../platform/child-output.js';
import { openChildOutput } from '../../platform/child-output.js';
import type { DatabaseConnection, DumpPart, DumpSession, EngineContext } from '../engine.js';
import type { Brand } from './brand.js';
import { readDatabaseSettings } from './database-settings.js';
import type { PartName, RunningDump } from './dump-tool.js';
import { startDumpTool } from './dump-tool.js';
import type { FloatTable } from './exact-floats.js';
import { exactFloats, findFloatTables } from './exact-floats.js';
import { placeOf } from './failures.js';
import type { Counters, Structure } from './fingerprint.js';
import { assembleFingerprint, readCounters, readRows, readStructure } from './fingerprint.js';
import { holdWrites } from './hold-writes.js';
import { needsMending } from './needs-mending.js';
import type { OptionFile } from './option-file.js';
import { writeOptionFile } from './option-file.js';
import { readClock, readServer } from './server.js';
import type { Session } from './session.js';
import { openSession } from './session.js';
import type { TableEntry } from './table-shapes.js';
import { listTables } from './table-shapes.js';
import { requireClientTools } from './tools.js';

/** Tries to stop the writes, and pauses between them (milliseconds): a busy source is not stalled again and again. */
const LOCK_TRIES = 6;
const LOCK_PAUSE_MS = 2_500;
/** Tries on sources on which nothing can be locked. */
const QUIET_TRIES = 4;
/** A commit is visible a moment before its GTID is listed: so long nothing may be listed before and after, in milliseconds. */
const QUIET_MS = 250;

/** What was opened at one moment. */
type Moment = {
  readonly position: LogPosition;
  readonly takenAt: string;
  readonly tables: readonly TableEntry[];
  readonly counters: Counters;
  readonly dump: RunningDump;
  readonly unavailable: string | null;
};

/** Tables whose FLOAT values are dumped once more, exactly; none when the reader's snapshot is not the tool's. */
async function floatsOf(session: Session, schema: string, tables: readonly TableEntry[]): Promise<FloatTable[]> {
  return (await findFloatTables(session, schema, tables)).mended;
}

type Opening = {
  readonly brand: Brand;
  readonly schema: string;
  readonly control: Session;
  readonly reader: Session;
  startTool(tables: readonly TableEntry[]): Promise<RunningDump>;
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
  const { reader, brand, schema } = opening;
  await beginSnapshot(reader);
  const position = await brand.position(reader);
  const tables = await listTables(reader, schema);
  return { position, takenAt: await readClock(reader), tables, counters: await readCounters(reader, schema, tables) };
}

const sameNames = (a: readonly TableEntry[], b: readonly TableEntry[]) =>
  a.length === b.length && a.every((table, index) => table.name === b[index]?.name);

/** Both snapshots under the lock: exact. Null with the last reason when it could not be had. */
async function openLocked(opening: Opening): Promise<Moment | { reason: string }> {
  let reason = '';
  for (let attempt = 1; attempt <= LOCK_TRIES; attempt++) {
    if (attempt > 1) await sleep(LOCK_PAUSE_MS);
    const expected = await listTables(opening.reader, opening.schema);
    const hold = await holdWrites(opening.control, opening.reader, opening.brand, opening.schema, expected);
    if ('refused' in hold) {
      reason = hold.message;
      if (hold.refused === 'denied') break;
      continue;
    }
    let dump: RunningDump | null = null;
    try {
      dump = await opening.startTool(expected);
      const moment = await readMoment(opening);
      if (!sameNames(expected, moment.tables)) reason = 'tables were created or dropped meanwhile';
      else if (await openedWithin(dump, hold.left())) {
        const opened = { ...moment, dump, unavailable: null };
        dump = null;
        return opened;
      } else reason = 'the dump tool did not open its snapshot in time';
    } finally {
      await hold.release();
      await dump?.kill();
    }
  }
  return { reason };
}

/** Without a lock: both snapshots while the server commits nothing. A source that is never quiet gives a dump without fingerprint. */
async function openQuiet(opening: Opening, refusal: string): Promise<Moment> {
  const mark = () => opening.brand.commitMark(opening.reader);
  let dump: RunningDump | null = null;
  for (let attempt = 1; ; attempt++) {
    const first = await mark();
    if (first !== null) await sleep(QUIET_MS);
    const moment = await readMoment(opening);
    dump = await opening.startTool(moment.tables);
    await dump.snapshotOpen;
    if (first !== null) await sleep(QUIET_MS);
    if (first !== null && first === (await mark())) return { ...moment, dump, unavailable: null };
    if (first === null || attempt >= QUIET_TRIES) {
      const why =
        first === null ? 'its server keeps no binary log to compare' : 'the server committed in every try without it';
      return {
        ...moment,
        dump,
        unavailable: `Writes to ${opening.schema} could not be stopped for a moment (${refusal}), and ${why}.`,
      };
    }
    await dump.kill();
  }
}

/** The dump tool alone, as `--no-fingerprint` runs of the bench want it. */
async function openAlone(opening: Opening): Promise<Moment> {
  const moment = await readMoment(opening);
  const dump = await opening.startTool(moment.tables);
  await dump.snapshotOpen;
  return { ...moment, dump, unavailable: 'No fingerprint was asked for.' };
}

const transactional = new Set(['innodb', 'rocksdb', 'tokudb', 'ndbcluster']);
/** Engines that hold no rows of their own. */
const rowless = new Set(['blackhole', 'federated', 'mrg_myisam', 'connect', 'spider', 's3']);

/** Tables whose rows a snapshot does not hold still. */
export function nonTransactional(tables: readonly TableEntry[]): TableEntry[] {
  return tables.filter(
    (table) =>
      table.kind === 'table' &&
      !transactional.has((table.engine ?? '').toLowerCase()) &&
      !rowless.has((table.engine ?? '').toLowerCase()),
  );
}

function sameStructure(a: Structure, b: Structure): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** See Engine.openDump. */
export async function openDump(
  brand: Brand,
  connection: DatabaseConnection,
  context: EngineContext,
  options: { fingerprint: boolean },
): Promise<DumpSession> {
  const schema = connection.database;
  const name = 'tidemark dump';
  const stop = new AbortController();
  const signal = AbortSignal.any([context.signal, stop.signal]);
  const sessions: Session[] = [];
  const running: RunningDump[] = [];
  let file: OptionFile | null = null;
  const close = async () => {
    stop.abort();
    await Promise.all(running.map((dump) => dump.kill()));
    await Promise.all(sessions.map((session) => session.close()));
    await file?.remove();
  };
  try {
    const open = async () => {
      const session = await openSession(connection, { database: schema, name, signal });
      sessions.push(session);
      return session;
    };
    const control = await open();
    const reader = await open();
    const server = await readServer(control, brand);
    const { collation } = await readDatabaseSettings(control, brand, schema);
    const mend = await needsMending(control, brand, schema, collation);
    const tools = await requireClientTools(brand, server.major, context.toolRoots);
    file = await writeOptionFile(connection, context.scratchDir);
    const optionFile = file.path;
    const start = (part: PartName, tables: readonly TableEntry[], output?: ChildOutput) => {
      const dump = startDumpTool({
        brand,
        command: tools.dump,
        optionFile,
        connection,
        part,
        versionedTables: tables.some((table) => table.versioned),
        // The parts that hold nothing but programs are short.
        mend: mend || part === 'triggers.sql' || part === 'events.sql',
        ...(output ? { output } : {}),
        signal,
      });
      running.push(dump);
      return dump;
    };
    const floats = options.fingerprint ? await floatsOf(control, schema, await listTables(control, schema)) : [];
    const opening: Opening = {
      brand,
      schema,
      control,
      reader,
      startTool: async (tables) =>
        start(
          floats.length > 0 ? 'dump.sql without triggers' : 'dump.sql',
          tables,
          await openChildOutput(context.scratchDir),
        ),
    };
    let moment: Moment;
    if (options.fingerprint) {
      const locked = await openLocked(opening);
      moment = 'reason' in locked ? await openQuiet(opening, locked.reason) : locked;
    } else moment = await openAlone(opening);

    const loose = nonTransactional(moment.tables);
    const unavailable =
      moment.unavailable ??
      (loose.length > 0
        ? `Tables of non-transactional engines have no exact position: ${loose
            .slice(0, 20)
            .map((table) => table.name)
            .join(', ')}.`
        : null);
    // Definitions are not part of a snapshot: they are read now and again at the end, and must not have changed in between.
    const structure = unavailable === null ? await readStructure(control, brand, schema, moment.tables) : null;
    const hasEvents =
      (await control.value('SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ?', [schema])) !== '0';
    const checkUnchanged = async () => {
      if (structure === null) return;
      const now = await readStructure(control, brand, schema, await listTables(control, schema));
      if (sameStructure(structure, now)) return;
      throw new TidemarkError(
        'source_changed_during_dump',
        `Definitions or grants of ${placeOf(connection)} changed while it was dumped.`,
        { object: schema },
      );
    };

    const tool = { name: brand.dumpProgram, version: tools.version };
    const wait = async (dump: RunningDump) => {
      await dump.done;
      await checkUnchanged();
    };
    const parts: DumpPart[] = [
      {
        name: 'dump.sql',
        tool,
        start: () => {
          const { stdout, release } = moment.dump;
          return { stdout, release, done: guard(wait(moment.dump)) };
        },
      },
    ];
    const later = (name: 'triggers.sql' | 'events.sql'): DumpPart => ({
      name,
      tool,
      start: () => {
        const dump = start(name, []);
        return { stdout: dump.stdout, done: guard(wait(dump)) };
      },
    });
    if (floats.length > 0) {
      // Only when the reader sees what the tool saw: values of another moment would be wrong ones.
      if (moment.unavailable === null) {
        parts.push({
          name: 'floats.sql',
          tool: { name: 'tidemark', version: tools.version },
          start: () => {
            const stdout = exactFloats(reader, schema, floats);
            stdout.on('error', () => {});
            return { stdout, done: guard(finished(stdout)) };
          },
        });
      }
      parts.push(later('triggers.sql'));
    }
    if (hasEvents) parts.push(later('events.sql'));
    return {
      server,
      position: moment.position,
      takenAt: moment.takenAt,
      estimatedBytes: moment.tables.reduce((sum, table) => sum + table.bytes, 0) || null,
      fingerprintUnavailable: unavailable,
      parts,
      fingerprint: async (onTable): Promise<Fingerprint> => {
        if (structure === null) throw new TidemarkError('not_supported', unavailable ?? 'No fingerprint.');
        return assembleFingerprint(
          brand,
          structure,
          moment.counters,
          await readRows([reader], schema, moment.tables, onTable),
        );
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A rejection that nobody waits for yet must not end the process. */
function guard(promise: Promise<void>): Promise<void> {
  promise.catch(() => {});
  return promise;
}
