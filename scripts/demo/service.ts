import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../../src/config.js';
import { readRunFile } from '../../src/embedded/run-file.js';
import { spawnChild } from '../../src/platform/spawn-child.js';

export type ServiceAddresses = {
  readonly api: string;
  readonly docs: string;
  readonly temporalUi: string;
  readonly mail: string | null;
  readonly credentials: string;
};

export type RunningService = {
  readonly home: string;
  readonly token: string;
  readonly addresses: ServiceAddresses;
  /** The embedded S3 store as a destination, in the words of POST /v1/destinations. */
  readonly destination: Record<string, unknown>;
  stop(): Promise<void>;
};

/** Below the checkout beside `.tidemark`, which `npm start` uses and the demo never touches. */
const HOME_NAME = '.tidemark-demo';

/** Compiling the workflows and initialising a catalog takes seconds; a machine under load gets more. */
const READY_WITHIN_MS = 180_000;

/**
 * Starts `tidemark up` as a process of its own on an empty home, so that every run of the demo tells the same story, and waits until
 * `GET /readyz` answers 200.
 */
export async function startService(config: Config, signal: AbortSignal): Promise<RunningService> {
  const checkout = process.cwd();
  const home = join(checkout, HOME_NAME);
  const running = readRunFile(home);
  if (running !== null && isAlive(running.pids.up)) {
    throw new Error(`a demo of this checkout runs already (process ${running.pids.up}); stop it first`);
  }
  rmSync(home, { recursive: true, force: true });
  mkdirSync(home, { mode: 0o711 });

  const token = randomBytes(32).toString('base64url');
  const logFile = join(home, 'tidemark.log');
  const child = spawnChild({
    command: process.execPath,
    args: ['--import', './scripts/typescript.mjs', 'src/cli/main.ts', 'up'],
    cwd: checkout,
    env: {
      TIDEMARK_HOME: home,
      TIDEMARK_ADMIN_TOKEN: token,
      LOG_LEVEL: config.logLevel,
      ...definedOnly(config.install),
    },
    logFile,
    label: 'tidemark up',
    graceMs: 60_000,
  });
  try {
    return {
      home,
      token,
      ...(await untilReady(home, child.exited, logFile, signal)),
      stop: () => child.kill().then(() => undefined),
    };
  } catch (error) {
    await child.kill();
    throw error;
  }
}

async function untilReady(
  home: string,
  exited: Promise<{ stderr: string }>,
  logFile: string,
  signal: AbortSignal,
): Promise<Pick<RunningService, 'addresses' | 'destination'>> {
  let ended: string | null = null;
  void exited.then((exit) => {
    ended = exit.stderr;
  });
  const giveUpAt = Date.now() + READY_WITHIN_MS;
  while (Date.now() < giveUpAt) {
    signal.throwIfAborted();
    if (ended !== null) throw new Error(`the service ended before it was ready:\n${ended}`);
    const run = readRunFile(home);
    if (run !== null && (await answersReady(run.api))) {
      const { s3 } = run;
      return {
        addresses: {
          api: run.api,
          docs: run.docs,
          temporalUi: run.temporalUi ?? '',
          mail: run.mail?.view ?? null,
          credentials: join(home, 'admin-credentials'),
        },
        destination: { type: 's3', ...s3, prefix: 'demo' },
      };
    }
    await sleep(200, undefined, { signal });
  }
  throw new Error(`the service was not ready within ${READY_WITHIN_MS / 1000} s; its log is ${logFile}`);
}

async function answersReady(api: string): Promise<boolean> {
  try {
    return (await fetch(new URL('/readyz', api))).status === 200;
  } catch {
    return false;
  }
}

function isAlive(pid: number | undefined): boolean {
  return pid !== undefined && statSync(`/proc/${pid}`, { throwIfNoEntry: false }) !== undefined;
}

function definedOnly(values: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
