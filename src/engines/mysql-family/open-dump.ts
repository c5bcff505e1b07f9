import { finished } from 'node:stream/promises';
import { TidemarkError } from '../../domain/errors.js';
import type { Fingerprint } from '../../domain/fingerprint.js';
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
import type { Structure } from './fingerprint.js';
import { assembleFingerprint, readRows, readStructure } from './fingerprint.js';
import { needsMending } from './needs-mending.js';
import type { Moment, Opening } from './open-moment.js';
import { openAlone, openLocked, openQuiet } from './open-moment.js';
import type { OptionFile } from './option-file.js';
import { writeOptionFile } from './option-file.js';
import { readServer } from './server.js';
import type { Session } from './session.js';
import { openSession } from './session.js';
import type { TableEntry } from './table-shapes.js';
import { listTables } from './table-shapes.js';
import { requireClientTools } from './tools.js';

/** Tables whose FLOAT values are dumped once more, exactly; none when the reader's snapshot is not the tool's. */
async function floatsOf(session: Session, schema: string, tables: readonly TableEntry[]): Promise<FloatTable[]> {
  return (await findFloatTables(session, schema, tables)).mended;
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
      schemas: [schema],
      control,
      reader,
      startTool: async ([database]) =>
        start(
          floats.length > 0 ? 'dump.sql without triggers' : 'dump.sql',
          database?.tables ?? [],
          await openChildOutput(context.scratchDir, tools.dumpLauncher),
        ),
    };
    let moment: Moment;
    if (options.fingerprint) {
      const locked = await openLocked(opening);
      moment = 'reason' in locked ? await openQuiet(opening, locked.reason) : locked;
    } else moment = await openAlone(opening);

    const [content] = moment.databases;
    if (content === undefined) throw new Error('the moment of no database');
    const loose = nonTransactional(content.tables);
    const unavailable =
      moment.unavailable ??
      (loose.length > 0
        ? `Tables of non-transactional engines have no exact position: ${loose
            .slice(0, 20)
            .map((table) => table.name)
            .join(', ')}.`
        : null);
    // Definitions are not part of a snapshot: they are read now and again at the end, and must not have changed in between.
    const structure = unavailable === null ? await readStructure(control, brand, schema, content.tables) : null;
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
            const stdout = exactFloats(reader, [{ schema, use: false, tables: floats }]);
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
      estimatedBytes: content.tables.reduce((sum, table) => sum + table.bytes, 0) || null,
      fingerprintUnavailable: unavailable,
      parts,
      fingerprint: async (onTable): Promise<Fingerprint> => {
        if (structure === null) throw new TidemarkError('not_supported', unavailable ?? 'No fingerprint.');
        return assembleFingerprint(
          brand,
          structure,
          content.counters,
          await readRows([reader], schema, content.tables, onTable),
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
