import type { ArchiveSetup } from '../../chain-engine.js';
import type { DatabaseConnection, EngineContext } from '../../engine.js';
import type { Brand } from '../brand.js';
import { inspectLog } from '../chain/inspect-log.js';
import { readServer } from '../server.js';
import { withSession } from '../session.js';
import { requireLogProgram } from './log-program.js';
import { currentFile } from './recognise-server.js';

/**
 * Looks whether the server's binary log can be archived. Nothing is made on the server: it keeps its log by its own rules, for
 * `binlog_expire_logs_seconds`; the findings name the settings that stand in the way, with statements. Throws `log_not_kept` without a
 * binary log, `privilege_missing`, `tools_missing`.
 */
export async function configureArchive(
  brand: Brand,
  connection: DatabaseConnection,
  context: EngineContext,
): Promise<ArchiveSetup> {
  const options = { database: null, name: 'tidemark archive', signal: context.signal };
  return withSession(connection, options, async (session) => {
    const server = await readServer(session, brand);
    await requireLogProgram(brand, server.major, context.toolRoots);
    await currentFile(session, brand);
    const role = (await brand.isReplica(session)) ? 'replica' : 'primary';
    return { position: await brand.position(session), findings: await inspectLog(session, brand, role, 'refuses') };
  });
}
