import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TidemarkError } from '../../../domain/errors.js';
import type { StopPoint } from '../../../domain/recovery-target.js';
import { canOthersReach, giveTo, sandboxUser } from '../../../platform/run-as.js';
import type { LogFile, RecoverableBackup, RecoverOptions, Sandbox } from '../../chain-engine.js';
import { FETCHING_LOG } from '../../chain-engine.js';
import type { DatabaseConnection, EngineContext } from '../../engine.js';
import { toolCommand } from '../../shared/find-tools.js';
import { endLeftoverSandbox } from '../../shared/sandbox-state.js';
import { formatLsn, historyName, parseLsn } from '../archive/wal-names.js';
import { buildData } from './build-data.js';
import type { StoredLog } from './log-continuity.js';
import { isWholeLogApplied, readPreviousRecord, requireStoredLog } from './log-continuity.js';
import { mapTablespaces } from './map-tablespaces.js';
import { openSandbox } from './open-sandbox.js';
import { findSandboxPrograms } from './programs.js';
import { readPosition, recoveryTargetSettings, requireAfterBackup, toMicroseconds } from './recovery-settings.js';
import type { RunningSandbox } from './run-sandbox.js';
import { EndedBeforeTarget, runSandbox } from './run-sandbox.js';
import { prepareLocales } from './sandbox-locales.js';
import type { SandboxPlace } from './sandbox-place.js';
import { makeOwnDir } from './sandbox-place.js';
import { sandboxSettings } from './sandbox-settings.js';

/** A socket's path holds 107 bytes, and PostgreSQL's name with the slash needs 15. */
const MAX_SOCKET_DIR = 92;

const incomplete = (message: string) => new TidemarkError('recovery_incomplete', message);

/**
 * Builds the server of `options.backups` in `options.dir`, replays the stored log to the target and leaves it open for reading. The files
 * in `logDir` become the sandbox user's; cut ones are filled up with zeros in place.
 */
export async function recover(context: EngineContext, options: RecoverOptions): Promise<Sandbox> {
  const newest = options.backups.at(-1);
  if (newest === undefined) throw new TidemarkError('sandbox_failed', 'Recovery was asked for without a backup.');
  const needsLog = options.target.kind !== 'end_of_backup' && options.logEnd !== null;
  if (options.logEnd === null && (options.target.kind === 'time' || options.target.kind === 'position'))
    throw new TidemarkError('outside_window', 'Without a log archive only the backups themselves can be recovered.');
  requireInsideLog(options);
  requireAfterBackup(options.target, {
    endLsn: newest.endPosition.lsn ?? '0/0',
    takenAt: newest.cluster.takenAt ?? null,
  });
  const place = await prepare(context, options);
  let running: RunningSandbox | null = null;
  try {
    const control = await buildData(place, options.backups, options.onPhase);
    if (control.identity !== options.server.identity)
      throw new TidemarkError(
        'server_identity_changed',
        `Backup ${newest.backupId} is of cluster ${control.identity}, not of ${options.server.identity}.`,
      );
    if (needsLog) options.onPhase(FETCHING_LOG);
    const logFiles = await options.logFiles;
    const log =
      needsLog && options.logEnd !== null
        ? requireStoredLog(
            { logDir: options.logDir, logFiles },
            newest.endPosition,
            options.logEnd,
            control.segmentBytes,
            join(place.data, 'pg_wal'),
          )
        : null;
    if (log !== null) giveLog(place, options.logDir, logFiles);
    // Before anything is replayed: the backup's own log may create a tablespace too.
    const logDirs = [join(place.data, 'pg_wal'), ...(log === null ? [] : [log.dir])];
    await mapTablespaces(logDirs, control.segmentBytes, context.signal);
    const locales = JSON.parse(newest.cluster.locales ?? '[]') as string[];
    const { path: localePath, missing } = await prepareLocales(locales, {
      postgres: toolCommand(place.programs, 'postgres'),
      dir: join(place.dir, 'home'),
      user: place.user,
      signal: context.signal,
    });
    if (missing.length > 0)
      throw new TidemarkError(
        'sandbox_failed',
        `This host lacks locales of the server: ${missing.join(', ')}. Install the package \`locales\`.`,
      );
    disarm(place);
    const configFile = join(place.dir, 'server.conf');
    const start = (target: Readonly<Record<string, string>>) => {
      writeOwn(
        place,
        configFile,
        sandboxSettings({
          major: place.major,
          control,
          socketDir: join(place.dir, 's'),
          hbaFile: join(place.dir, 'hba.conf'),
          logDir: log?.dir ?? null,
          target,
        }),
      );
      return runSandbox(place, {
        configFile,
        localePath,
        onProgress: (lsn) => options.onPhase(`replaying, at ${lsn}`),
      });
    };
    options.onPhase('replaying');
    const timeline = timelineSetting(newest, log);
    const wanted = log === null ? { recovery_target: 'immediate' } : recoveryTargetSettings(options.target);
    try {
      running = await start({ ...wanted, ...timeline });
    } catch (error) {
      if (!(error instanceof EndedBeforeTarget)) throw error;
      // Nothing that the target excludes lies in the log: its whole is what was asked for, if it reaches as far as the target. The server
      // goes on where it ended.
      options.onPhase('replaying to the end of the log');
      running = await start(timeline);
    }
    const reached = readReached(place, running);
    if (log !== null) requireReached(options, log, running, reached);
    const sandbox = await openSandbox(
      place,
      running,
      { configFile, localePath, superuser: newest.cluster.superuser || null },
      context,
    );
    return {
      connection: sandbox.connection as DatabaseConnection,
      databases: sandbox.databases,
      lastApplied: lastApplied(log, running),
      firstRefused: firstRefused(running),
      close: sandbox.close,
    };
  } catch (error) {
    await running?.stop();
    throw error;
  }
}

/** Before anything is built. That a time is not later than the log, only the caller knows. */
function requireInsideLog({ target, logEnd }: RecoverOptions): void {
  if (target.kind !== 'position' || logEnd?.lsn === undefined) return;
  if (readPosition(target.position) > parseLsn(logEnd.lsn))
    throw new TidemarkError(
      'outside_window',
      `${target.position} lies behind the end of the stored log (${logEnd.lsn}).`,
    );
}

async function prepare(context: EngineContext, options: RecoverOptions): Promise<SandboxPlace> {
  const { dir } = options;
  await endLeftoverSandbox(dir);
  const user = sandboxUser();
  if (user && !canOthersReach(dir))
    throw new TidemarkError(
      'sandbox_failed',
      `The sandbox cannot run in ${dir}: it runs as ${user.name}, who cannot enter one of the folders above.`,
      { object: dir },
    );
  if (Buffer.byteLength(join(dir, 's')) > MAX_SOCKET_DIR)
    throw new TidemarkError('sandbox_failed', `The path ${dir} is too long for the socket of a sandbox.`, {
      object: dir,
    });
  const programs = await findSandboxPrograms(options.server.major, context.toolRoots);
  // What an earlier try left; logs may lie in a folder of their own below.
  for (const name of [
    'data',
    's',
    'home',
    'hba.conf',
    'server.conf',
    ...options.backups.map((_, index) => `b${index}`),
  ])
    rmSync(join(dir, name), { recursive: true, force: true });
  giveTo(user, dir);
  makeOwnDir(user, join(dir, 's'));
  makeOwnDir(user, join(dir, 'home'));
  const place: SandboxPlace = {
    dir,
    data: join(dir, 'data'),
    programs,
    major: Number(options.server.major),
    user,
    signal: context.signal,
  };
  // The folder of the socket admits the service alone, and root.
  writeOwn(place, join(dir, 'hba.conf'), 'local all all trust\n');
  return place;
}

function writeOwn(place: SandboxPlace, path: string, content: string): void {
  writeFileSync(path, content, { mode: 0o600 });
  giveTo(place.user, path);
}

/** The server reads its log files itself. */
function giveLog(place: SandboxPlace, logDir: string, files: readonly LogFile[]): void {
  if (!place.user) return;
  giveTo(place.user, logDir);
  for (const { name } of files) giveTo(place.user, join(logDir, name));
  if (!canOthersReach(join(logDir, '..')))
    throw new TidemarkError('sandbox_failed', `The sandbox cannot read ${logDir}: a folder above is closed.`);
}

/**
 * Settings of the source that are read besides our file, and signs that would make it a standby. `tablespace_map` would put links to the
 * source's own folders in the place of the tablespaces that lie here.
 */
function disarm(place: SandboxPlace): void {
  for (const name of ['standby.signal', 'postmaster.pid', 'tablespace_map'])
    rmSync(join(place.data, name), { force: true });
  writeOwn(place, join(place.data, 'postgresql.auto.conf'), '');
  writeOwn(place, join(place.data, 'recovery.signal'), '');
}

/** Exactly the timeline of the log's end; newer ones in the archive belong to a later history. */
export function timelineSetting(newest: RecoverableBackup, log: StoredLog | null): Record<string, string> {
  if (log === null || log.timeline === newest.endPosition.timeline) return { recovery_target_timeline: 'current' };
  return { recovery_target_timeline: String(log.timeline) };
}

/** The exact end of what was replayed: the history of the new timeline says where it left the old one. */
function readReached(place: SandboxPlace, running: RunningSandbox): bigint {
  const timeline = running.log.newTimeline;
  const path = join(place.data, 'pg_wal', historyName(timeline ?? 0));
  const line =
    timeline !== null && statSync(path, { throwIfNoEntry: false })
      ? readFileSync(path, 'utf8').trim().split('\n').at(-1)
      : undefined;
  const lsn = line === undefined ? undefined : /^\s*\d+\s+([0-9A-Fa-f]+\/[0-9A-Fa-f]+)/.exec(line)?.[1];
  if (lsn === undefined) throw new TidemarkError('sandbox_failed', 'The sandbox does not tell how far it recovered.');
  return parseLsn(lsn);
}

/** Recovery that ends early says nothing: what was reached is compared with what was to be. */
function requireReached(options: RecoverOptions, log: StoredLog, running: RunningSandbox, reached: bigint): void {
  const { target } = options;
  const last = running.log.lastCompletedAt;
  if (running.log.stopped !== null) {
    // The server stops at the end of the backup at the earliest, even when later commits are in it.
    if (target.kind === 'time' && last !== null && toMicroseconds(last) > toMicroseconds(target.time))
      throw new TidemarkError(
        'outside_window',
        `${target.time} lies before the end of the backup, which holds a commit of ${last}.`,
      );
    return;
  }
  if (!isWholeLogApplied(log, reached))
    throw incomplete(
      `Recovery ended at ${formatLsn(reached)} although the log is stored up to ${options.logEnd?.lsn}: it cannot be read there.`,
    );
}

/** The last record that was replayed: given as a position it leads to the same state again. */
function lastApplied(log: StoredLog | null, { log: words }: RunningSandbox): StopPoint {
  let position = words.redoDone;
  if (words.stopped === 'before' && log !== null && position !== null) {
    const previous = readPreviousRecord(log, parseLsn(position));
    position = previous === null ? null : formatLsn(previous);
  }
  return { position, at: words.lastCompletedAt };
}

/** Where it stopped before a record; after one nothing was looked at that was refused. */
function firstRefused({ log: words }: RunningSandbox): StopPoint | null {
  return words.stopped === 'before' ? { position: words.redoDone, at: words.refusedAt } : null;
}
