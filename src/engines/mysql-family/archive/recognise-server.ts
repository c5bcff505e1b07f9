import { TidemarkError } from '../../../domain/errors.js';
import type { ServerIdentity } from '../../../domain/positions.js';
import { isSameServer } from '../../../domain/same-server.js';
import type { Brand } from '../brand.js';
import { readServer } from '../server.js';
import type { Session } from '../session.js';

/** Throws `server_identity_changed` when another server answers than the one whose log is stored. */
export async function recogniseServer(
  session: Session,
  brand: Brand,
  expected: ServerIdentity | null,
): Promise<ServerIdentity> {
  const server = await readServer(session, brand);
  const { host, port } = session.connection;
  if (expected !== null && !isSameServer(server.identity, expected.identity))
    throw new TidemarkError(
      'server_identity_changed',
      `${host}:${port} is now another ${brand.title} server (${server.identity}) than the one whose log is archived (${expected.identity}).`,
      { object: host },
    );
  return server;
}

/** Throws `privilege_missing` or `log_not_kept`. */
export async function currentFile(session: Session, brand: Brand): Promise<string> {
  const { file } = await brand.position(session);
  if (file !== undefined) return file;
  const { host, port } = session.connection;
  if ((await session.value('SELECT @@global.log_bin')) !== '1')
    throw new TidemarkError(
      'log_not_kept',
      `${host}:${port} writes no binary log: start the server with log_bin, then retry.`,
      { object: host },
    );
  const statement = `GRANT REPLICATION CLIENT ON *.* TO ${(await session.value('SELECT CURRENT_USER()')) ?? 'the role'};`;
  throw new TidemarkError(
    'privilege_missing',
    `The role cannot see which file of the binary log ${host}:${port} writes. Run: ${statement}`,
    { object: host, statement },
  );
}
