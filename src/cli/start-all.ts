/** Everything in one go: embedded components, the API, a worker. What `tidemark up` and the demo start. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import type { Config } from '../config.js';
import { DEFAULT_PORT } from '../config.js';
import { TidemarkError } from '../domain/errors.js';
import { endLeftovers, lockHome } from '../embedded/home-lock.js';
import type { RunInfo } from '../embedded/run-file.js';
import { removeRunFile, writeRunFile } from '../embedded/run-file.js';
import { placeForServers } from '../embedded/server-place.js';
import type { Embedded } from '../embedded/start-embedded.js';
import { startEmbedded } from '../embedded/start-embedded.js';
import { defineWorker } from '../embedded/start-worker.js';
import type { Supervised } from '../embedded/supervise.js';
import { supervise } from '../embedded/supervise.js';
import { keepLogsSmall } from '../embedded/trim-logs.js';
import type { Logger } from '../platform/logger.js';
import { createLogger } from '../platform/logger.js';
import { findFreePort } from '../platform/ports.js';

/** The API with its reconcile loop, as `tidemark serve` starts it. */
export type StartService = (options: {
  readonly config: Config & { readonly databaseUrl: string };
  readonly port: number;
  readonly logger: Logger;
  /** The S3 store that runs beside it; null where there is none. */
  readonly embeddedStore: { readonly endpoint: string; readonly accessKeyId: string } | null;
}) => Promise<{
  readonly port: number;
  /** What a person must be told once: where the admin's credentials are, that the master key must be saved. */
  readonly notices: readonly string[];
  close(): Promise<void>;
}>;

export type StartAllOptions = {
  readonly config: Config;
  readonly startService: StartService;
  /** Progress for people: one short line each. */
  readonly say?: (line: string) => void;
  /** Aborted while things start: what was started is stopped, and the reason thrown. */
  readonly signal?: AbortSignal;
};

export interface Everything {
  readonly run: RunInfo;
  readonly config: Config & { readonly databaseUrl: string };
  readonly notices: readonly string[];
  /** Worker, API, components, in this order; then the home is free again. */
  stop(): Promise<void>;
  /** The same without waiting for anything to finish its work. */
  kill(): Promise<void>;
}

/**
 * Throws `already_running` when the home is in use, and what a component or the API says when it does not start; whatever had been started is
 * stopped then.
 */
export async function startAll(options: StartAllOptions): Promise<Everything> {
  const { config, startService } = options;
  const say = options.say ?? (() => {});
  const lock = await lockHome(config.home);
  const logs = join(config.home, 'logs');
  mkdirSync(logs, { recursive: true, mode: 0o700 });
  const destination = pino.destination({ dest: join(logs, 'service.log'), mode: 0o600, sync: true });
  const logger = createLogger({ level: config.logLevel, name: 'up', destination, redact: secretsOf(config) });
  const stopTrimming = keepLogsSmall(logFiles(config.home), (error) =>
    logger.warn({ err: error }, 'a log could not be trimmed'),
  );
  // Node prints it and ends; the log should know as well.
  const onCrash = (error: Error) => logger.fatal({ err: error }, 'the process ends by an error that nobody caught');
  process.on('uncaughtExceptionMonitor', onCrash);
  const started: { stop(): Promise<void>; kill(): Promise<void> }[] = [];
  const endAll = async (how: 'stop' | 'kill') => {
    // One that does not stop must not keep the others running.
    const errors: unknown[] = [];
    for (const part of started.splice(0).toReversed()) await part[how]().catch((error: unknown) => errors.push(error));
    stopTrimming();
    process.off('uncaughtExceptionMonitor', onCrash);
    removeRunFile(config.home);
    await lock.release();
    if (errors.length > 0) throw new AggregateError(errors, 'not everything could be stopped');
  };

  try {
    const left = await endLeftovers(config.home, logger);
    if (left > 0) say(`Ended ${left} process(es) that an earlier run left behind.`);
    let publish = () => {};
    const embedded = await startEmbedded({
      config,
      logger,
      onChange: () => publish(),
      onStep: (what) => say(`Starting ${what} ...`),
    });
    started.push(embedded);
    options.signal?.throwIfAborted();

    say('Starting the API ...');
    const api = createLogger({
      level: config.logLevel,
      name: 'api',
      destination,
      redact: [...secretsOf(embedded.config), embedded.s3.secretAccessKey],
    });
    const service = await startOnFreePort(config, embedded, (port) =>
      startService({ config: embedded.config, port, logger: api, embeddedStore: embedded.s3 }),
    );
    started.push({ stop: () => service.close(), kill: () => service.close() });
    options.signal?.throwIfAborted();

    say('Starting the worker ...');
    const worker = await supervise(
      defineWorker({ config: embedded.config, queues: ['control', 'data', 'stream'] }),
      logger,
      () => publish(),
    );
    started.push(worker);
    options.signal?.throwIfAborted();

    const url = config.publicUrl ?? `http://${hostForUrl(config.bind)}:${service.port}`;
    const info = () => describeRun(url, embedded, worker);
    publish = () => writeRunFile(config.home, info());
    publish();
    return {
      get run() {
        return info();
      },
      config: embedded.config,
      notices: service.notices,
      stop: () => endAll('stop'),
      kill: () => endAll('kill'),
    };
  } catch (error) {
    logger.fatal({ err: error }, 'the start failed');
    await endAll('stop').catch((second: unknown) =>
      logger.error({ err: second }, 'and not everything could be stopped'),
    );
    throw error;
  }
}

function logFiles(home: string): string[] {
  return [
    join(home, 'logs/service.log'),
    join(home, 'logs/worker.log'),
    join(home, 'temporal/temporal.log'),
    join(home, 's3/s3.log'),
    join(placeForServers(home), 'database/server.log'),
  ];
}

async function chooseApiPort(config: Config, embedded: Embedded): Promise<number> {
  if (config.port === undefined) return embedded.state.choosePort('api');
  const port = await findFreePort(config.port);
  if (port === config.port) return port;
  throw new TidemarkError(
    'invalid_configuration',
    `PORT is ${config.port}, and another program listens there. Choose another one (the usual is ${DEFAULT_PORT}), or leave it out.`,
  );
}

/** Another program can take the port between our look and the API's, as when two Tidemarks start at once: then another one is chosen. */
async function startOnFreePort<T>(config: Config, embedded: Embedded, start: (port: number) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const port = await chooseApiPort(config, embedded);
    try {
      return await start(port);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || attempt >= 5) throw error;
    }
  }
}

function describeRun(url: string, embedded: Embedded, worker: Supervised): RunInfo {
  const pids: Record<string, number> = { up: process.pid };
  for (const { name, pid } of [...embedded.components, worker]) if (pid !== undefined) pids[name] = pid;
  return {
    api: url,
    docs: `${url}/docs`,
    temporalUi: embedded.temporalUi && runsInTemporalUi(embedded.temporalUi, embedded.config.temporal.namespace),
    s3: embedded.s3,
    mail: embedded.mail,
    pids,
  };
}

/** The Web UI's own front page shows the namespace `default`, where none of our runs is: a person would see "0 Workflows". */
function runsInTemporalUi(address: string, namespace: string): string {
  return `${address.replace(/\/+$/, '')}/namespaces/${encodeURIComponent(namespace)}/workflows`;
}

function hostForUrl(bind: string): string {
  if (bind === '0.0.0.0' || bind === '::') return '127.0.0.1';
  return bind.includes(':') ? `[${bind}]` : bind;
}

/** The password inside an address too: drivers repeat it without the rest. */
function secretsOf(config: Config): string[] {
  const { masterKey, databaseUrl, smtp, temporal, admin } = config;
  const inAddresses = [databaseUrl, smtp.url].flatMap((address) => {
    const password = address === undefined ? undefined : URL.parse(address)?.password;
    return password ? [decodeURIComponent(password)] : [];
  });
  return [masterKey, databaseUrl, temporal.apiKey, admin.password, admin.token, ...inAddresses].filter(
    (secret): secret is string => secret !== undefined,
  );
}
