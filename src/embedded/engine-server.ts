/**
 * One PostgreSQL, MySQL or MariaDB server in a folder of ours: the embedded catalog, the demo's sources, the servers of tests.
 * It runs in the foreground below this process and dies with it.
 */
import { chmodSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ownEnvironment } from '../config.js';
import type { EngineKind } from '../domain/engine-kinds.js';
import { TidemarkError } from '../domain/errors.js';
import type { EngineProduct, InstallEnvironment } from '../platform/installed.js';
import { engineProductTitles, engineRoot } from '../platform/installed.js';
import { findFreePort } from '../platform/ports.js';
import type { ProcessMark } from '../platform/processes.js';
import { findDescendants, markProcess, signalProcess, waitForEnd } from '../platform/processes.js';
import { canOthersReach, giveTo, makeEnterableDir, serverUser } from '../platform/run-as.js';
import type { Child, ChildExit } from '../platform/spawn-child.js';
import { spawnChild } from '../platform/spawn-child.js';
import { writeStateFile } from '../platform/state-file.js';
import type { ServerLayout } from './engine-recipes.js';
import { engineRecipes, initializeData } from './engine-recipes.js';
import type { EngineServerState } from './engine-server-state.js';
import { endLeftover, newEngineServerState, readEngineServerState } from './engine-server-state.js';
import { waitUntilLogin } from './wait-until-login.js';

export interface EngineServerOptions {
  readonly product: EngineProduct;
  /** Folder of this server alone; created, and used again with everything in it. As root, other users must be able to enter its parents. */
  readonly dataDir: string;
  /** Exactly this port. Without it: the port of the last start, else `preferredPort`, else a free one. */
  readonly port?: number;
  readonly preferredPort?: number;
  /** Lines for postgresql.conf or the `[mysqld]` section; they win over ours. */
  readonly settings?: Readonly<Record<string, string>>;
  /** `fast` gives up fsync: for tests and the demo, never for the catalog. Default `safe`. */
  readonly durability?: 'safe' | 'fast';
  /** PostgreSQL: locale of the cluster; default C.UTF-8. */
  readonly locale?: string;
  /** PostgreSQL: further arguments of initdb. */
  readonly initdbArgs?: readonly string[];
  /** How long the server may take until it answers, in ms, crash recovery included; default 120,000. */
  readonly startTimeoutMs?: number;
  /** Where engines are installed; default: as the environment says. */
  readonly install?: InstallEnvironment;
}

export interface EngineServer {
  readonly product: EngineProduct;
  readonly engine: EngineKind;
  /** `15`, `17`, `18`; `9.7`; `10.11`, `11.8`: the version line of the product. */
  readonly major: string;
  readonly host: '127.0.0.1';
  readonly port: number;
  /** Folder of the unix socket; another one after a restart. */
  readonly socketDir: string;
  readonly adminUser: string;
  readonly adminPassword: string;
  /** As given, absolute. */
  readonly dataDir: string;
  /** The engine's own data directory (PGDATA, datadir). */
  readonly engineDataDir: string;
  /** Where the server writes what it says. */
  readonly logFile: string;
  /** undefined while it is down. */
  readonly pid: number | undefined;
  /** Settles when the present process ends, for whatever reason. */
  readonly exited: Promise<ChildExit>;
  /** Orderly. Does nothing when it is down. */
  stop(): Promise<void>;
  /** As a power cut would: SIGKILL for the server and all its processes. */
  kill(): Promise<void>;
  /** Stops it if it runs, and starts it on the same data and port. */
  restart(): Promise<void>;
}

const majors: Record<EngineProduct, string> = {
  pg15: '15',
  pg17: '17',
  pg18: '18',
  mysql: '9.7',
  mariadb: '11.8',
  mariadb1011: '10.11',
};

const STOP_GRACE_MS = 60_000;

/**
 * Starts a server and waits until its admin can log in.
 *
 * Throws `tools_missing` when the product is not installed, `already_running` when a living process owns this folder, `component_failed`
 * with the end of the server's log when it does not start.
 */
export async function startEngineServer(options: EngineServerOptions): Promise<EngineServer> {
  const { product } = options;
  const dataDir = resolve(options.dataDir);
  const title = engineProductTitles[product];
  const recipe = engineRecipes[product];
  const root = engineRoot(product, options.install ?? ownEnvironment());
  if (root === null) {
    throw new TidemarkError('tools_missing', `${title} is not installed. \`npm run doctor\` says how to get it.`, {
      object: product,
    });
  }
  const user = serverUser();
  makeEnterableDir(user, dataDir);
  // Ours alone, also when somebody made it beforehand.
  if (user) chmodSync(dataDir, 0o711);
  if (user && !canOthersReach(dataDir)) {
    throw new TidemarkError(
      'component_failed',
      `${title} cannot run in ${dataDir}: it runs as ${user.name}, who cannot enter one of the folders above.`,
      { object: dataDir },
    );
  }
  const stateFile = join(dataDir, 'server.json');
  const logFile = join(dataDir, 'server.log');
  const data = join(dataDir, 'data');
  const saveState = (next: EngineServerState) => {
    state = next;
    writeStateFile(stateFile, JSON.stringify(next));
  };
  const base = { product, root, base: dataDir, user, durable: options.durability !== 'fast' } as const;
  const layoutFor = (overrides: { data: string; socketDir: string }): ServerLayout => ({
    ...base,
    ...overrides,
    port: state.port,
    adminPassword: state.adminPassword,
    serverId: state.serverId,
    locale: options.locale ?? 'C.UTF-8',
    initdbArgs: options.initdbArgs ?? [],
    settings: options.settings ?? {},
  });

  const previous = readEngineServerState(stateFile, product);
  if (previous) await endLeftover(previous, data, recipe.stopSignal);
  let state: EngineServerState = previous ?? newEngineServerState(product);
  saveState({
    ...state,
    port: options.port ?? (await findFreePort(...[state.port || undefined, options.preferredPort])),
    server: null,
    owner: markProcess(process.pid),
  });
  if (!previous?.ready) {
    // Made aside and renamed: an interrupted run leaves nothing that looks like a data directory.
    const making = join(dataDir, 'data.new');
    await initializeData(layoutFor({ data: making, socketDir: dataDir }));
    rmSync(data, { recursive: true, force: true });
    renameSync(making, data);
  }

  let child: Child | undefined;
  let known = false;

  async function start(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      if (state.socketDir) rmSync(state.socketDir, { recursive: true, force: true });
      // Short, because a socket's path is limited to 107 bytes, and PostgreSQL's name needs 20 of them.
      const socketDir = mkdtempSync(join(tmpdir().length < 40 ? tmpdir() : '/tmp', 'tm-'));
      giveTo(user, socketDir);
      const layout = layoutFor({ data, socketDir });
      const started = spawnChild({
        ...recipe.command(layout, !state.ready),
        env: { HOME: dataDir },
        cwd: data,
        logFile,
        stopSignal: recipe.stopSignal,
        graceMs: STOP_GRACE_MS,
        label: title,
        redact: [state.adminPassword],
        ...(user ? { user } : {}),
      });
      child = started;
      saveState({ ...state, socketDir, server: started.pid === undefined ? null : markProcess(started.pid) });
      const failure = await waitUntilLogin(
        started,
        layout.port,
        () => recipe.login(layout),
        options.startTimeoutMs ?? 120_000,
      );
      if (failure === null) {
        if (!state.ready) rmSync(join(dataDir, 'first-start.sql'), { force: true });
        saveState({ ...state, ready: true });
        return;
      }
      await killNow();
      // Processes of a PostgreSQL whose postmaster was killed notice it within moments; until then their memory is in the way.
      if (attempt < 20 && /shared memory block .* is still in use/.test(failure)) {
        await sleep(250);
        continue;
      }
      // Somebody took the port between our look and the server's. Only at first: later others know our port.
      if (
        attempt < 5 &&
        !known &&
        options.port === undefined &&
        /address already in use|port: .*in use/i.test(failure)
      ) {
        saveState({ ...state, port: await findFreePort() });
        continue;
      }
      throw new TidemarkError(
        'component_failed',
        `${title} did not start in ${dataDir}: ${failure} (log: ${logFile})`,
        {
          object: dataDir,
        },
      );
    }
  }

  async function settle(): Promise<void> {
    child = undefined;
    if (state.socketDir) rmSync(state.socketDir, { recursive: true, force: true });
    saveState({ ...state, socketDir: null, server: null });
  }

  async function killNow(): Promise<void> {
    if (!child) return;
    // Server processes of PostgreSQL lead groups of their own and outlive their parent for a moment, long enough to
    // make the next start refuse ("pre-existing shared memory block is still in use").
    const below: ProcessMark[] = child.pid === undefined ? [] : findDescendants(child.pid);
    await child.kill('SIGKILL');
    for (const mark of below) signalProcess(mark, 'SIGKILL');
    await waitForEnd(below, 10_000);
    await settle();
  }

  async function stop(): Promise<void> {
    if (!child) return;
    await child.kill();
    await settle();
  }

  await start();
  known = true;
  return {
    product,
    engine: recipe.kind,
    major: majors[product],
    host: '127.0.0.1',
    get port() {
      return state.port;
    },
    get socketDir() {
      return state.socketDir ?? '';
    },
    adminUser: recipe.adminUser,
    get adminPassword() {
      return state.adminPassword;
    },
    dataDir,
    engineDataDir: data,
    logFile,
    get pid() {
      return child?.pid;
    },
    get exited() {
      return child?.exited ?? Promise.resolve({ code: null, signal: null, stderr: '', stopped: true });
    },
    stop,
    kill: killNow,
    async restart() {
      await stop();
      await start();
    },
  };
}
