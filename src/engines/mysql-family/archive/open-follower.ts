import { isSameServer } from '../../../domain/same-server.js';
import type { DatabaseConnection, EngineContext } from '../../engine.js';
import type { LogFollower, LogFollowerOptions } from '../../log-follower.js';
import type { Brand } from '../brand.js';
import { readServer } from '../server.js';
import { withSession } from '../session.js';
import { BinlogFollower } from './binlog-follower.js';
import { BinlogReader } from './binlog-reader.js';
import { BinlogSpool } from './binlog-spool.js';
import { requireLogProgram } from './log-program.js';
import { openTakeover } from './open-takeover.js';
import { TakeoverProof } from './prove-takeover.js';
import { currentFile, recogniseServer } from './recognise-server.js';

/**
 * Follows a server's binary log by the brand's own program, which registers as a replica. Needs REPLICATION SLAVE, and REPLICATION CLIENT
 * (MariaDB: BINLOG MONITOR is of use) to see which files there are. An epoch begins with the whole of the file that the server writes at
 * that moment; later ones follow as the server has them, but for one flag (see in-use-flag.ts). Goes on by itself after restarts of the
 * source, cut connections and the death of the program.
 *
 * Throws `server_identity_changed` for another server, and for a `successor` that is a replica; `log_gap` for a `successor` whose log does not hold the
 * stored one's end just as it is stored, and when the server purged what comes after the store's end, or has something else before it (RESET).
 */
export async function openFollower(
  brand: Brand,
  connection: DatabaseConnection,
  context: EngineContext,
  options: LogFollowerOptions,
): Promise<LogFollower> {
  const { resume } = options;
  const { server, takeover, current } = await withSession(
    connection,
    { database: null, name: 'tidemark archive', signal: context.signal },
    async (session) => {
      if (resume !== null && options.successor === true) {
        const found = await readServer(session, brand);
        const isOther = !isSameServer(found.identity, resume.server.identity);
        // A former primary that replicates from its successor has everything too: but a commit of that one reaches it later.
        if (isOther && (await brand.isReplica(session)) === false)
          return { server: found, takeover: await openTakeover(session, brand, resume, found), current: null };
      }
      return {
        takeover: null,
        server: await recogniseServer(session, brand, resume?.server ?? null),
        current: resume === null ? await currentFile(session, brand) : null,
      };
    },
  );
  const tools = await requireLogProgram(brand, server.major, context.toolRoots);
  const spool = new BinlogSpool(options.spoolDir);
  // What was received of the former server and not stored comes from the new one.
  await spool.prepare(takeover === null ? (resume?.cursor.file ?? null) : null);
  const start = takeover ?? resume ?? { file: current ?? '' };
  const reader = new BinlogReader(brand.kind, spool, start);
  const proof = takeover === null ? null : new TakeoverProof(brand.kind, spool, takeover);
  const follower = new BinlogFollower({ brand, connection, context, tools, spool, reader, server, options, proof });
  follower.start();
  return follower;
}
