import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionOptions } from '@temporalio/client';
import { Client, Connection, defaultGrpcRetryOptions, makeGrpcRetryInterceptor } from '@temporalio/client';

export type TemporalAddress = {
  readonly address: string | undefined;
  readonly namespace: string;
  readonly apiKey: string | undefined;
  /** null: no TLS. Files are paths. */
  readonly tls: {
    readonly caFile: string | undefined;
    readonly certFile: string | undefined;
    readonly keyFile: string | undefined;
    readonly serverName: string | undefined;
  } | null;
};

/** Where `tidemark up` and the dev server listen. */
const defaultAddress = '127.0.0.1:7233';

/**
 * A Temporal client that connects when first used: the API starts, answers reads and says at `/readyz` what is missing while Temporal
 * is away, instead of not starting. Throws when a certificate file cannot be read.
 */
export async function connectTemporal(temporal: TemporalAddress): Promise<{ client: Client; close(): Promise<void> }> {
  const { address = defaultAddress, apiKey, tls, namespace } = temporal;
  const retries = createEndingRetries();
  const options: ConnectionOptions = { address, interceptors: [retries.interceptor] };
  if (apiKey !== undefined) options.apiKey = apiKey;
  if (tls !== null) {
    const read = async (path: string | undefined) => (path === undefined ? undefined : await readFile(path));
    const [ca, crt, key] = await Promise.all([read(tls.caFile), read(tls.certFile), read(tls.keyFile)]);
    options.tls = {
      ...(tls.serverName === undefined ? {} : { serverNameOverride: tls.serverName }),
      ...(ca === undefined ? {} : { serverRootCACertificate: ca }),
      ...(crt === undefined || key === undefined ? {} : { clientCertPair: { crt, key } }),
    };
  }
  const connection = Connection.lazy(options);
  const close = async () => {
    await retries.end();
    await connection.close();
  };
  return { client: new Client({ connection, namespace }), close };
}

/**
 * The client's own retries, but ended before the connection is closed. A retry that is waiting then would fire on a closed channel, and
 * that throws from a timer: the whole process would end by it instead of in order.
 */
function createEndingRetries() {
  const usual = defaultGrpcRetryOptions();
  let ending = false;
  let waitingUntil = 0;
  const interceptor = makeGrpcRetryInterceptor({
    ...usual,
    retryableDecider: (attempt, status) => !ending && usual.retryableDecider(attempt, status),
    delayFunction: (attempt, status) => {
      const delay = usual.delayFunction(attempt, status);
      waitingUntil = Math.max(waitingUntil, Date.now() + delay);
      return delay;
    },
  });
  const end = async () => {
    ending = true;
    // The last one fires on an open channel, fails or not, and is not repeated.
    await sleep(Math.max(0, waitingUntil - Date.now() + 100));
  };
  return { interceptor, end };
}
