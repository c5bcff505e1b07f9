import type { DatabaseConnection } from '../engine.js';
import type { ScratchFile } from '../shared/scratch-file.js';
import { writeScratchFile } from '../shared/scratch-file.js';
import { socketOf } from './session.js';

/** A value of an option file: quoted, because `#` would begin a comment and spaces would be cut; backslash sequences are the file's own. */
function optionValue(text: string): string {
  const escaped = text
    .replaceAll('\\', '\\\\')
    .replaceAll('"', '\\"')
    .replaceAll('\n', '\\n')
    .replaceAll('\r', '\\r')
    .replaceAll('\t', '\\t');
  return `"${escaped}"`;
}

export type OptionFile = { readonly path: string; remove(): Promise<void> };

/**
 * Writes the 0600 file that tells a client program where to connect and as whom. Given with `--defaults-file`, it is the only one read, so that a my.cnf of the host changes nothing.
 */
export async function writeOptionFile(connection: DatabaseConnection, scratchDir: string): Promise<OptionFile> {
  const files: ScratchFile[] = [];
  const lines = [
    '[client]',
    ...(connection.host.startsWith('/')
      ? [`socket=${optionValue(socketOf(connection.host))}`, 'protocol=socket']
      : [`host=${optionValue(connection.host)}`, `port=${connection.port}`, 'protocol=tcp']),
    `user=${optionValue(connection.username)}`,
    `password=${optionValue(connection.password)}`,
  ];
  let ca: string | null = null;
  if (connection.tls?.ca !== undefined) {
    const file = await writeScratchFile(scratchDir, 'ca.pem', connection.tls.ca);
    files.push(file);
    ca = file.path;
  }
  const mode = connection.tls?.mode ?? null;
  if (connection.engine === 'mysql') {
    // Without TLS the account's password is exchanged under the server's RSA key, which the client must ask for.
    if (mode === null) lines.push('ssl-mode=DISABLED', 'get-server-public-key');
    else lines.push(`ssl-mode=${mode === 'verify' ? 'VERIFY_IDENTITY' : 'REQUIRED'}`);
  } else if (mode === null) lines.push('skip-ssl');
  else lines.push('ssl', mode === 'verify' ? 'ssl-verify-server-cert' : 'disable-ssl-verify-server-cert');
  if (ca !== null) lines.push(`ssl-ca=${optionValue(ca)}`);
  const main = await writeScratchFile(scratchDir, 'client.cnf', `${lines.join('\n')}\n`);
  files.push(main);
  return {
    path: main.path,
    remove: async () => {
      for (const file of files) await file.remove();
    },
  };
}
