import { readFile } from 'node:fs/promises';
import type { ConnectionOptions } from '@temporalio/client';
import { Client, Connection } from '@temporalio/client';

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
  const options: ConnectionOptions = { address };
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
  return { client: new Client({ connection, namespace }), close: () => connection.close() };
}
