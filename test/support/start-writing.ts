import { setTimeout as sleep } from 'node:timers/promises';
import type { Sql } from '../../scripts/soak/sql.js';
import { openSql } from '../../scripts/soak/sql.js';
import type { ArchivedServer } from './archived-server.js';

/** Commits numbered rows into `written` until it is stopped; survives restarts of the server. */
export function startWriting({ connection }: ArchivedServer): {
  /** How many the server has answered. */
  committed(): number;
  stop(): Promise<void>;
} {
  let running = true;
  let committed = 0;
  const work = (async () => {
    let sql: Sql | null = null;
    let n = Date.now() * 1000;
    while (running) {
      try {
        sql ??= await openSql(connection, connection.database);
        n += 1;
        await sql.change(`insert into written (n, pad) values (?, repeat('x', 500))`, [n]);
        committed += 1;
        await sleep(5);
      } catch {
        sql?.destroy();
        sql = null;
        await sleep(200);
      }
    }
    await sql?.close().catch(() => {});
  })();
  return {
    committed: () => committed,
    stop: async () => {
      running = false;
      await work;
    },
  };
}
