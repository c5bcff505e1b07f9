import { finished } from 'node:stream/promises';
import { TidemarkError } from '../../../domain/errors.js';
import type { Fingerprint } from '../../../domain/fingerprint.js';
import type { ChildOutput } from '../../../platform/child-output.js';
import { openChildOutput } from '../../../platform/child-output.js';
import type { FullOptions, ServerBackupSession } from '../../chain-engine.js';
import type { DatabaseConnection, DumpPart, EngineContext } from '../../engine.js';
import type { Brand } from '../brand.js';
import type { PartName, RunningDump } from '../dump-tool.js';
import { startDumpTool } from '../dump-tool.js';
import type { FloatTables } from '../exact-floats.js';
import { exactFloats, findFloatTables } from '../exact-floats.js';
import { placeOf } from '../failures.js';
import { assembleFingerprint, readRows, readStructure } from '../fingerprint.js';
import { nonTransactional } from '../open-dump.js';
import type { Moment } from '../open-moment.js';
import type { OptionFile } from '../option-file.js';
import { writeOptionFile } from '../option-file.js';
import { readServer } from '../server.js';
import type { Session } from '../session.js';
import { openSession } from '../session.js';
import type { DatabaseTables } from '../table-shapes.js';
import { listTablesOf } from '../table-shapes.js';
import { requireClientTools } from '../tools.js';
import { FROM_REPLICA, readClusterFacts } from './cluster-facts.js';
import { COUNTERS_FILE, countersFile } from './counters-file.js';
import { listDatabases } from './list-databases.js';
import type { Surroundings } from './open-still.js';
import { definitionsOf, openStill } from './open-still.js';
import { ACCOUNTS_FILE, accountsFile } from './read-accounts.js';
import { openReplicaOf } from './replica-of.js';
import { readTimeZones, TIME_ZONES_FILE } from './time-zones-file.js';

/** A rejection that nobody waits for yet must not end the process. */
function guard(promise: Promise<void>): Promise<void> {
  promise.catch(() => {});
  return promise;
}

/**
 * See ChainEngine.openFull: one dump of all databases at one exact position of the log, with the accounts of the server beside it. Unlike
 * a dump of one database it is of no use without the exact position, so that a source that cannot be held still fails it (retryable).
 */
export async function openFull(
  brand: Brand,
  connection: DatabaseConnection,
  context: EngineContext,
  options: FullOptions,
): Promise<ServerBackupSession> {
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
    const open = async (from = connection) => {
      // No database in use: the registered one may be dropped while the full goes on.
      const session = await openSession(from, { database: null, name: `tidemark ${options.label}`, signal });
      sessions.push(session);
      return session;
    };
    const control = await open();
    const reader = await open();
    const origin = options.primary ? await openReplicaOf(brand, await open(options.primary), control) : null;
    const server = origin?.server ?? (await readServer(control, brand));
    const role = (await brand.isReplica(control)) === true ? ('replica' as const) : ('primary' as const);
    const tools = await requireClientTools(brand, server.major, context.toolRoots);
    file = await writeOptionFile(connection, context.scratchDir);
    const optionFile = file.path;
    const cluster = await readClusterFacts(origin?.primary ?? control, brand);
    const start = (part: PartName, databases: readonly DatabaseTables[], output?: ChildOutput) => {
      const dump = startDumpTool({
        brand,
        command: tools.dump,
        optionFile,
        connection,
        databases: databases.map(({ schema }) => schema),
        part,
        versionedTables: databases.some(({ tables }) => tables.some((table) => table.versioned)),
        mend: output === undefined,
        ...(output ? { output } : {}),
        signal,
      });
      running.push(dump);
      return dump;
    };
    const startDump = async (databases: readonly DatabaseTables[]) =>
      start('dump.sql without triggers', databases, await openChildOutput(context.scratchDir, tools.dumpLauncher));
    const { moment: read, around } = await openStill(brand, control, reader, startDump, origin);
    if (read.unavailable !== null) {
      throw new TidemarkError(
        'dump_failed',
        `A full of the server of ${placeOf(connection)} needs the exact position of its log: ${read.unavailable}`,
        { object: connection.database },
      );
    }
    const moment = origin === null ? read : await origin.translate(read, reader);
    const loose = moment.databases.flatMap(({ schema, tables }) =>
      nonTransactional(tables).map((table) => `${schema}.${table.name}`),
    );
    const unavailable =
      loose.length > 0
        ? `Tables of non-transactional engines have no exact position: ${loose.slice(0, 20).join(', ')}.`
        : options.fingerprint
          ? null
          : 'No fingerprint was asked for.';
    const timeZones = await readTimeZones(origin?.primary ?? reader);
    const floats: FloatTables[] = [];
    for (const { schema, tables } of moment.databases) {
      floats.push({ schema, use: true, tables: (await findFloatTables(control, schema, tables)).mended });
    }
    const checkUnchanged = async () => {
      const present = await listDatabases(control);
      for (const { schema, tables } of await listTablesOf(
        control,
        around.databases.filter((name) => present.includes(name)),
      )) {
        const now = await readStructure(control, brand, schema, tables);
        if (definitionsOf(now) === definitionsOf(around.structures.get(schema))) continue;
        throw changed(connection, schema);
      }
      const gone = around.databases.find((name) => !present.includes(name));
      if (gone !== undefined) throw changed(connection, gone);
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
        start: () => ({
          stdout: moment.dump.stdout,
          release: moment.dump.release,
          done: guard(wait(moment.dump)),
        }),
      },
    ];
    if (floats.some(({ tables }) => tables.length > 0)) {
      parts.push({
        name: 'floats.sql',
        tool: { name: 'tidemark', version: tools.version },
        start: () => {
          const stdout = exactFloats(reader, floats);
          stdout.on('error', () => {});
          return { stdout, done: guard(finished(stdout)) };
        },
      });
    }
    return {
      server,
      sourceRole: role,
      estimatedBytes:
        moment.databases.reduce((sum, { tables }) => sum + tables.reduce((all, table) => all + table.bytes, 0), 0) ||
        null,
      parts: [...parts, ...tailParts(around, moment, tool, start, wait)],
      databases: around.databases,
      fingerprintUnavailable: unavailable,
      fingerprint: async (database, onTable): Promise<Fingerprint> => {
        const content = moment.databases.find(({ schema }) => schema === database);
        const structure = around.structures.get(database);
        if (content === undefined || structure === undefined)
          throw new TidemarkError('database_missing', `There was no database ${database} when the full began.`);
        if (unavailable !== null) throw new TidemarkError('not_supported', unavailable);
        return assembleFingerprint(
          brand,
          structure,
          content.counters,
          await readRows([reader], database, content.tables, onTable),
        );
      },
      finish: async () => ({
        startPosition: moment.position,
        endPosition: moment.position,
        takenAt: moment.takenAt,
        sidecars: [
          { name: ACCOUNTS_FILE, body: accountsFile(around.accounts) },
          { name: COUNTERS_FILE, body: countersFile(moment.databases) },
          ...(timeZones === null ? [] : [{ name: TIME_ZONES_FILE, body: timeZones }]),
        ],
        cluster: {
          ...cluster,
          takenAt: moment.takenAt,
          ...(origin === null ? {} : { [FROM_REPLICA]: '1' }),
          ...(loose.length > 0 ? { non_transactional_tables: loose.join(' ') } : {}),
        },
      }),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function changed(connection: DatabaseConnection, schema: string): TidemarkError {
  return new TidemarkError(
    'source_changed_during_dump',
    `Definitions in ${schema} (server of ${placeOf(connection)}) changed while the full was taken.`,
    { object: schema },
  );
}

/** Triggers and events, after all rows: neither may act on what is being loaded. */
function tailParts(
  around: Surroundings,
  moment: Moment,
  tool: DumpPart['tool'],
  start: (part: PartName, databases: readonly DatabaseTables[]) => RunningDump,
  wait: (dump: RunningDump) => Promise<void>,
): DumpPart[] {
  const has = (schema: string, type: string) =>
    around.structures.get(schema)?.objects.some((object) => object.type === type) === true;
  return (['trigger', 'event'] as const).flatMap((type) => {
    const databases = moment.databases.filter(({ schema }) => has(schema, type));
    if (databases.length === 0) return [];
    const name = `${type}s.sql` as const;
    const begin = () => {
      const dump = start(name, databases);
      return { stdout: dump.stdout, done: guard(wait(dump)) };
    };
    return [{ name, tool, start: begin }];
  });
}
