import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Config } from '../config.js';
import { DEFAULT_PORT } from '../config.js';
import { createHostPolicy } from '../platform/host-policy.js';
import type { Logger } from '../platform/logger.js';
import type { UsecaseContext } from '../usecases/context.js';
import { defaultUsecaseOptions } from '../usecases/context.js';
import { openContext } from '../usecases/service/open-context.js';
import { createApp } from './create-app.js';
import { answerClientError } from './http-errors.js';
import type { RateLimits } from './rate-limits.js';
import { defaultRateLimits } from './rate-limits.js';

export type ApiDeps = {
  readonly config: Config;
  readonly catalog: UsecaseContext['catalog'];
  readonly temporal: UsecaseContext['temporal'];
  readonly masterKey: UsecaseContext['masterKey'];
  readonly logger: Logger;
  readonly version?: string;
  /** Default: that of the configuration, else the usual one; 0 takes any free port. */
  readonly port?: number;
  readonly limits?: Partial<RateLimits>;
  /** Default 25 s. */
  readonly checkTimeoutMs?: number;
};

export type RunningApi = {
  readonly port: number;
  readonly context: UsecaseContext;
  /** Takes no more requests, lets those that run end for a while, then breaks what is left. */
  close(): Promise<void>;
};

const closeGraceMs = 10_000;

/** Starts the API on a catalog whose migrations are applied. Throws `wrong_master_key`, or what listening throws. */
export async function startApi(deps: ApiDeps): Promise<RunningApi> {
  const { config } = deps;
  const policy = createHostPolicy(config.hosts);
  const { context, stop } = await openContext({
    catalog: deps.catalog,
    temporal: deps.temporal,
    masterKey: deps.masterKey,
    logger: deps.logger,
    options: {
      ...defaultUsecaseOptions,
      directoryRoots: config.directoryRoots,
      assertHostAllowed: (host) => policy.assertAllowed(host),
      originalNeedsAdmin: config.originalRestoreAdminOnly,
      ...(deps.checkTimeoutMs === undefined ? {} : { checkTimeoutMs: deps.checkTimeoutMs }),
    },
  });
  const app = createApp(context, {
    limits: { ...defaultRateLimits, ...deps.limits },
    version: deps.version ?? '0.0.0',
    secureCookies: config.publicUrl?.startsWith('https:') ?? false,
    trustProxy: config.trustProxy,
  });
  const server = createServer(
    {
      // A client that sends its request drop by drop must not hold a connection for ever. Answers may take as long as they need.
      headersTimeout: 20_000,
      requestTimeout: 60_000,
      keepAliveTimeout: 65_000,
      maxHeaderSize: 16 * 1024,
    },
    app,
  );
  server.on('clientError', answerClientError);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(deps.port ?? config.port ?? DEFAULT_PORT, config.bind, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const { port } = server.address() as AddressInfo;
  deps.logger.info({ port, bind: config.bind }, 'The API listens');

  let closing: Promise<void> | undefined;
  const close = () => {
    stop();
    closing ??= new Promise<void>((resolve) => {
      const timer = setTimeout(() => server.closeAllConnections(), closeGraceMs);
      server.close(() => {
        clearTimeout(timer);
        resolve();
      });
      server.closeIdleConnections();
    });
    return closing;
  };
  return { port, context, close };
}
