import { isSameServer } from '../../../domain/same-server.js';
import type { DatabaseConnection, EngineContext } from '../../engine.js';
import type { LogFollower, LogFollowerOptions } from '../../log-follower.js';
import type { Brand } from '../brand.js';
import { readServer } from '../server.js';
import { withSession } from '../session.js';
import { BinlogFollower } from './binlog-follower.js';
import { BinlogReader } from './binlog-reader.js';
import { BinlogSpool } from './binlog-spool.js';
import { successionError } from './judge-successor.js';
import { requireLogProgram } from './log-program.js';
import { currentFile, recogniseServer } from './recognise-server.js';

/**
 * Follows a server's binary log by the brand's own program, which registers as a replica. Needs REPLICATION SLAVE, and REPLICATION CLIENT
 * (MariaDB: BINLOG MONITOR is of use) to see which files there are. An epoch begins with the whole of the file that the server writes at
 * that moment; later ones follow as the server has them, but for one flag (see in-use-flag.ts). Goes on by itself after restarts of the
 * source, cut connections and the death of the program.
 *
 * Throws `server_identity_changed` for another server; `log_gap` for its `successor`, whose files are others, so that a new epoch follows
 * them, and when the server purged what comes after the store's end, or has something else before it (RESET).
 */
export async function openFollower(
  brand: Brand,
  connection: DatabaseConnection,
  context: EngineContext,
  options: LogFollowerOptions,
): Promise<LogFollower> {
  const { resume } = options;
  const { server, current } = await withSession(
    connection,
    { database: null, name: 'tidemark archive', signal: context.signal },
    async (session) => {
      if (resume !== null && options.successor === true) {
        const found = await readServer(session, brand);
        if (!isSameServer(found.identity, resume.server.identity))
          throw await successionError(session, brand, resume, found);
      }
      return {
        server: await recogniseServer(session, brand, resume?.server ?? null),
        current: resume === null ? await currentFile(session, brand) : null,
      };
    },
  );
  const tools = await requireLogProgram(brand, server.major, context.toolRoots);
  const spool = new BinlogSpool(options.spoolDir);
  await spool.prepare(resume?.cursor.file ?? null);
  const reader = new BinlogReader(brand.kind, spool, resume ?? { file: current ?? '' });
  const follower = new BinlogFollower({ brand, connection, context, tools, spool, reader, server, options });
  follower.start();
  return follower;
}
