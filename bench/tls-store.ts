/** The S3 store over TLS: a certificate of its own, made at run time and trusted by this process and by those who are told where it lies. */
import { execFileSync } from 'node:child_process';
import { chmodSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import type { S3Store } from '../test/support/start-s3-store.js';
import { startS3Store } from '../test/support/start-s3-store.js';

export type TlsStore = S3Store & {
  /** PEM; for NODE_EXTRA_CA_CERTS and its like. */
  readonly certFile: string;
};

/** `dir` is for certificate and key. */
export async function startTlsStore(dir: string): Promise<TlsStore> {
  const certFile = join(dir, 'store.crt');
  const keyFile = join(dir, 'store.key');
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost'],
      ...['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', keyFile, '-out', certFile],
    ],
    { stdio: 'ignore' },
  );
  // Archiving of the peer runs as the server's user.
  chmodSync(certFile, 0o644);
  setDefaultCACertificates([...getCACertificates('default'), readFileSync(certFile, 'utf8')]);
  const store = await startS3Store({ tls: { certFile, keyFile } });
  // Not a copy: its pid changes with a restart.
  return Object.assign(Object.create(store) as S3Store, { certFile });
}
