import { readFile } from 'node:fs/promises';
import type { NativeConnectionOptions } from '@temporalio/worker';
import { NativeConnection } from '@temporalio/worker';
import type { Config } from '../config.js';
import { TidemarkError } from '../domain/errors.js';

/** The address that `tidemark up` and the dev server use. */
const DEFAULT_ADDRESS = '127.0.0.1:7233';

/** Connects to the dev server, a self-hosted cluster or Temporal Cloud: the same code, by configuration. */
export async function connectTemporal(config: Config): Promise<NativeConnection> {
  const { address = DEFAULT_ADDRESS, apiKey, tls } = config.temporal;
  const options: NativeConnectionOptions = { address };
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
  try {
    return await NativeConnection.connect(options);
  } catch (error) {
    throw new TidemarkError('service_unavailable', `Temporal does not answer at ${address}.`, {}, { cause: error });
  }
}
