import { randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadConfig } from '../../src/config.js';
import type { RunInfo } from '../../src/embedded/run-file.js';
import { readRunFile } from '../../src/embedded/run-file.js';
import type { ChildExit } from '../../src/platform/spawn-child.js';
import { spawnChild } from '../../src/platform/spawn-child.js';
import type { ApiClient } from './api-client.js';
import { createApiClient } from './api-client.js';

/** `tidemark up` as a process of its own, seen from outside: what the demo, the soak and the end-to-end tests drive. */
export type ServiceProcess = {
  readonly home: string;
  readonly token: string;
  readonly logFile: string;
  readonly api: ApiClient;
  /** `run.json` as it is now: addresses, and the process ids of the components. */
  run(): RunInfo;
  readonly exited: Promise<ChildExit>;
  /** Orderly, as Ctrl-C would. */
  stop(): Promise<void>;
  /** `kill -9` of the service itself; its children die with it. */
  kill(): Promise<void>;
};

export type ServiceOptions = {
  /** TIDEMARK_HOME; as root, other users must be able to enter it. */
  readonly home: string;
  readonly token?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
};

/** Compiling the workflows and initialising a catalog takes seconds; a machine under load gets more. */
const READY_WITHIN_MS = 180_000;

/** Starts the service and waits until `GET /readyz` answers 200. Throws with the end of its output when it does not start. */
export async function startServiceProcess(options: ServiceOptions): Promise<ServiceProcess> {
  const { home, token = randomBytes(32).toString('base64url') } = options;
  const config = loadConfig();
  const logFile = join(home, 'output.log');
  const child = spawnChild({
    command: process.execPath,
    args: ['--import', './scripts/typescript.mjs', 'src/cli/main.ts', 'up'],
    cwd: join(import.meta.dirname, '../..'),
    env: {
      TIDEMARK_HOME: home,
      TIDEMARK_ADMIN_TOKEN: token,
      LOG_LEVEL: config.logLevel,
      ...definedOnly(config.install),
      ...options.env,
    },
    logFile,
    label: 'tidemark up',
    graceMs: 60_000,
  });
  let end: ChildExit | null = null;
  void child.exited.then((exit) => {
    end = exit;
  });
  const run = () => {
    const info = readRunFile(home);
    if (info === null) throw new Error(`no service runs in ${home}`);
    return info;
  };

  try {
    const giveUpAt = Date.now() + READY_WITHIN_MS;
    while (!(await isReady(home))) {
      options.signal?.throwIfAborted();
      if (end !== null) throw new Error(`the service ended before it was ready:\n${(end as ChildExit).stderr}`);
      if (Date.now() > giveUpAt)
        throw new Error(`the service was not ready within ${READY_WITHIN_MS / 1000} s; see ${logFile}`);
      await sleep(200);
    }
  } catch (error) {
    await child.kill();
    throw error;
  }
  return {
    home,
    token,
    logFile,
    api: createApiClient(() => run().api, token),
    run,
    exited: child.exited,
    stop: async () => {
      await child.kill();
    },
    kill: async () => {
      if (child.pid !== undefined && end === null) process.kill(child.pid, 'SIGKILL');
      await child.exited;
    },
  };
}

/** The embedded S3 store in the words of `POST /v1/destinations`. */
export function embeddedDestination(run: RunInfo, prefix: string): Record<string, unknown> {
  return { type: 's3', ...run.s3, prefix };
}

/** True while a service of this home lives. */
export function isServiceRunning(home: string): boolean {
  const pid = readRunFile(home)?.pids.up;
  return pid !== undefined && statSync(`/proc/${pid}`, { throwIfNoEntry: false }) !== undefined;
}

async function isReady(home: string): Promise<boolean> {
  const run = readRunFile(home);
  if (run === null) return false;
  try {
    return (await fetch(new URL('/readyz', run.api))).status === 200;
  } catch {
    return false;
  }
}

function definedOnly(values: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
