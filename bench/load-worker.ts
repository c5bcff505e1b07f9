/**
 * An application in a process of its own: transactions of one insert and one update, offered at a rate or as fast as they are taken. Reads
 * its task from standard input and prints when each was sent, as JSON, when the time is over.
 */
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { createConnection } from 'mysql2/promise';
import pg from 'pg';
import type { DatabaseConnection } from '../src/engines/engine.js';
import { serverCpuMs } from './cpu-time.js';
import { COUNTERS } from './load-tables.js';

export type LoadTask = {
  readonly connection: DatabaseConnection;
  readonly sessions: number;
  /** Transactions per second; null: as fast as they are taken. */
  readonly rate: number | null;
  /** For so long, or exactly this many transactions. */
  readonly forMs?: number;
  readonly count?: number;
  /** The server's main process: how much processor time it takes meanwhile. */
  readonly serverPid?: number | undefined;
};
export type LoadFigures = {
  /** Date.now() before each transaction was sent, in this order. */
  readonly sentAt: readonly number[];
  /** PostgreSQL: a position behind each of them, in the same order. */
  readonly positions: readonly string[];
  /** From the first transaction sent to the last one committed. */
  readonly wallMs: number;
  /** Of the server's processes meanwhile; 0 when not asked for. */
  readonly serverCpuMs: number;
};

const BODY = 'a line of an order, as long as such lines are in many shops, with a few words of remarks. '.repeat(3);

type Session = { transact(body: string, counter: number): Promise<string>; close(): Promise<void> };

async function openSession({
  engine,
  host,
  port,
  username: user,
  password,
  database,
}: DatabaseConnection): Promise<Session> {
  if (engine === 'postgresql') {
    const client = new pg.Client({ host, port, user, password, database });
    await client.connect();
    return {
      transact: async (body, counter) => {
        const results = (await client.query(
          `BEGIN; INSERT INTO entry (body) VALUES ('${body}'); UPDATE counter SET n = n + 1 WHERE id = ${counter}; COMMIT;
           SELECT pg_current_wal_insert_lsn()::text AS lsn`,
        )) as unknown as pg.QueryResult<{ lsn: string }>[];
        return results.at(-1)?.rows[0]?.lsn ?? '';
      },
      close: () => client.end(),
    };
  }
  const session = await createConnection({ host, port, user, password, database, multipleStatements: true });
  return {
    transact: async (body, counter) => {
      await session.query(
        `BEGIN; INSERT INTO entry (body) VALUES ('${body}'); UPDATE counter SET n = n + 1 WHERE id = ${counter}; COMMIT`,
      );
      return '';
    },
    close: () => session.end(),
  };
}

async function applyLoad(task: LoadTask): Promise<LoadFigures> {
  const sessions = await Promise.all(Array.from({ length: task.sessions }, () => openSession(task.connection)));
  const sent: { at: number; position: string }[] = [];
  const end = task.forMs === undefined ? Number.POSITIVE_INFINITY : performance.now() + task.forMs;
  const most = task.count ?? Number.POSITIVE_INFINITY;
  const cpu = () => (task.serverPid === undefined ? 0 : serverCpuMs(task.serverPid));
  const cpuBefore = cpu();
  const started = performance.now();
  let begun = 0;
  const run = async (session: Session) => {
    while (begun < most && performance.now() < end) {
      if (task.rate !== null) {
        const wait = started + (begun / task.rate) * 1000 - performance.now();
        if (wait > 0) {
          await sleep(wait);
          continue;
        }
      }
      const number = begun++;
      const one = { at: Date.now(), position: '' };
      sent.push(one);
      one.position = await session.transact(BODY, (number * 7919) % COUNTERS);
    }
  };
  await Promise.all(sessions.map(run));
  const wallMs = performance.now() - started;
  const cpuMs = cpu() - cpuBefore;
  for (const session of sessions) await session.close();
  const [sentAt, positions] = [sent.map(({ at }) => at), sent.map(({ position }) => position)];
  return { sentAt, positions, wallMs, serverCpuMs: cpuMs };
}

process.stdout.write(JSON.stringify(await applyLoad(JSON.parse(await text(process.stdin)) as LoadTask)));
