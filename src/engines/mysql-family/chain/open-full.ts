import { finished } from 'node:stream/promises';
import { TidemarkError } from '../../../domain/errors.js';
import type { Fingerprint } from '../../../domain/fingerprint.js';
import type { ChildOutput } from '../../../platform/child-output.js';
import { openChildOutput } from '../../../platform/child-output.js';
import type { ServerBackupSession } from '../../chain-engine.js';
import type { DatabaseConnection, DumpPart, EngineContext } from '../../engine.js';
import type { Brand } from '../brand.js';
import type { PartName, RunningDump } from '../dump-tool.js';
import { startDumpTool } from '../dump-tool.js';
import type { FloatTables } from '../exact-floats.js';
import { exactFloats, findFloatTables } from '../exact-floats.js';
import { placeOf, serverErrorNumber } from '../failures.js';
import type { Structure } from '../fingerprint.js';
import { assembleFingerprint, readRows, readStructure } from '../fingerprint.js';
import { nonTransactional } from '../open-dump.js';
import type { Moment, Opening } from '../open-moment.js';
import { openLocked, openQuiet } from '../open-moment.js';
import type { OptionFile } from '../option-file.js';
import { writeOptionFile } from '../option-file.js';
import { readServer } from '../server.js';
import type { Session } from '../session.js';
import { openSession } from '../session.js';
import type { DatabaseTables } from '../table-shapes.js';
import { listTablesOf } from '../table-shapes.js';
import { requireClientTools } from '../tools.js';
import { readClusterFacts } from './cluster-facts.js';
import { COUNTERS_FILE, countersFile } from './counters-file.js';
import { listDatabases } from './list-databases.js';
import { ACCOUNTS_FILE, accountsFile, readAccountStatements } from './read-accounts.js';
import { readTimeZones, TIME_ZONES_FILE } from './time-zones-file.js';

/** Tries to find definitions and accounts unchanged around the moment of the snapshot. */
const STILL_TRIES = 5;

/** What no snapshot holds: it is read before and after the moment, and must not have changed in between. */
type Surroundings = {
  readonly databases: readonly string[];
  readonly structures: ReadonlyMap<string, Structure>;
  readonly accounts: readonly string[];
};

async function readSurroundings(session: Session, brand: Brand): Promise<Surroundings> {
  const databases = await listDatabases(session);
  const structures = new Map<string, Structure>();
  for (const { schema, tables } of await listTablesOf(session, databases)) {
    structures.set(schema, await readStructure(session, brand, schema, tables));
  }
  return { databases, structures, accounts: await readAccountStatements(session, brand) };
}

const asText = ({ databases, structures, accounts }: Surroundings) =>
  JSON.stringify([databases, [...structures], accounts]);

/** What the dump tool writes: grants are none of it. */
function definitionsOf(structure: Structure | undefined): string {
  const { accounts, grants_read, ...settings } = structure?.database ?? {};
  return JSON.stringify([settings, structure?.objects.map(({ grants, ...object }) => object)]);
}

/** XA transactions that are prepared and not decided: their rows are in no snapshot, and the log after it only has their COMMIT. */
async function preparedTransactions(session: Session): Promise<number> {
  try {
    return (await session.raw('XA RECOVER')).length;
  } catch (error) {
    // Without the privilege to see them (MySQL: XA_RECOVER_ADMIN).
    if (serverErrorNumber(error) === null) throw error;
    return 0;
  }
}

/** A rejection that nobody waits for yet must not end the process. */
function guard(promise: Promise<void>): Promise<void> {
  promise.catch(() => {});
  return promise;
}

/** Opens the snapshots at a moment around which nothing changed that no snapshot holds. */
async function openStill(
  brand: Brand,
  control: Session,
  reader: Session,
  startTool: Opening['startTool'],
): Promise<{ readonly moment: Moment; readonly around: Surroundings }> {
  for (let attempt = 1; ; attempt++) {
    const around = await readSurroundings(control, brand);
    if (around.databases.length === 0)
      throw new TidemarkError('database_missing', 'The server has no database that a full could hold.');
    let before: string | null = null;
    const opening: Opening = {
      brand,
      schemas: around.databases,
      control,
      reader,
      startTool: async (databases) => {
        before = await brand.commitMark(reader);
        return startTool(databases);
      },
      disturbed: async () => {
        if ((await brand.commitMark(reader)) !== before) return 'something else was committed meanwhile';
        const prepared = await preparedTransactions(reader);
        return prepared === 0 ? null : `${prepared} XA transactions are prepared and not decided`;
      },
    };
    const locked = await openLocked(opening);
    const moment = 'reason' in locked ? await openQuiet(opening, locked.reason) : locked;
    if (moment.unavailable !== null || asText(await readSurroundings(control, brand)) === asText(around))
      return { moment, around };
    await moment.dump.kill();
    if (attempt >= STILL_TRIES) {
      throw new TidemarkError(
        'source_changed_during_dump',
        `Definitions or accounts of the server of ${placeOf(control.connection)} changed in each of ${STILL_TRIES} tries to begin the full.`,
        { object: control.connection.database },
      );
    }
  }
}

/**
 * See ChainEngine.openFull: one dump of all databases at one exact position of the log, with the accounts of the server beside it. Unlike
 * a dump of one database it is of no use without the exact position, so that a source that cannot be held still fails it (retryable).
 */
export async function openFull(
  brand: Brand,
  connection: DatabaseConnection,
  context: EngineContext,
  options: { readonly label: string; readonly fingerprint: boolean },
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
    const open = async () => {
      // No database in use: the registered one may be dropped while the full goes on.
      const session = await openSession(connection, { database: null, name: `tidemark ${options.label}`, signal });
      sessions.push(session);
      return session;
    };
    const control = await open();
    const reader = await open();
    const server = await readServer(control, brand);
    const role = (await brand.isReplica(control)) === true ? ('replica' as const) : ('primary' as const);
    const tools = await requireClientTools(brand, server.major, context.toolRoots);
    file = await writeOptionFile(connection, context.scratchDir);
    const optionFile = file.path;
    const cluster = await readClusterFacts(control, brand);
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
    const { moment, around } = await openStill(brand, control, reader, async (databases) =>
      start('dump.sql without triggers', databases, await openChildOutput(context.scratchDir, tools.dumpLauncher)),
    );
    if (moment.unavailable !== null) {
      throw new TidemarkError(
        'dump_failed',
        `A full of the server of ${placeOf(connection)} needs the exact position of its log: ${moment.unavailable}`,
        { object: connection.database },
      );
    }
    const loose = moment.databases.flatMap(({ schema, tables }) =>
      nonTransactional(tables).map((table) => `${schema}.${table.name}`),
    );
    const unavailable =
      loose.length > 0
        ? `Tables of non-transactional engines have no exact position: ${loose.slice(0, 20).join(', ')}.`
        : options.fingerprint
          ? null
          : 'No fingerprint was asked for.';
    const timeZones = await readTimeZones(reader);
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
