import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection } from 'mysql2/promise';
import { createConnection } from 'mysql2/promise';
import type { TestEngine } from './engine-servers.js';

/** Tables of which every row that a transaction commits in `entry` has one of the same number in `audit`, written by triggers and a function. */
export const auditedTables = (long: string) => `
  CREATE TABLE entry (n bigint PRIMARY KEY, via varchar(20), doubled bigint AS (n * 2) STORED);
  CREATE TABLE audit (n bigint NOT NULL, FOREIGN KEY (n) REFERENCES entry (n));
  CREATE TABLE \`${long}\` (n bigint NOT NULL, body text, FULLTEXT KEY (body), CONSTRAINT \`odd fk\` FOREIGN KEY (n) REFERENCES entry (n));
  CREATE VIEW newest AS SELECT MAX(n) AS n FROM entry;
  CREATE FUNCTION marked(a bigint) RETURNS bigint DETERMINISTIC RETURN a;
  CREATE TRIGGER entry_in BEFORE INSERT ON entry FOR EACH ROW SET NEW.via = 'trigger';
  CREATE TRIGGER entry_audit AFTER INSERT ON entry FOR EACH ROW INSERT INTO audit (n) VALUES (marked(NEW.n));
  CREATE TRIGGER entry_long AFTER INSERT ON entry FOR EACH ROW INSERT INTO \`${long}\` SELECT n, via FROM entry WHERE entry.n = NEW.n`;

export type AuditedWriters = {
  /** Numbers whose commit the server has answered. */
  readonly committed: ReadonlySet<number>;
  /** Errors that the application saw, by number of the server's error, each with its first text. */
  readonly errors: ReadonlyMap<number, string>;
  /** Longest time between two answered commits, in ms. */
  readonly longestGapMs: number;
  untilCommit(): Promise<void>;
  stop(): Promise<void>;
};

/** Applications that write without a pause, one transaction of two rows after the other, from `first` on. */
export async function writeAudited(
  server: TestEngine,
  database: string,
  first: number,
  count = 3,
): Promise<AuditedWriters> {
  const committed = new Set<number>();
  const errors = new Map<number, string>();
  let next = first;
  let stopping = false;
  let lastCommit = performance.now();
  let longestGapMs = 0;
  const connections: Connection[] = [];
  const write = async (connection: Connection) => {
    while (!stopping) {
      const pair = [next++, next++];
      try {
        await connection.query('START TRANSACTION');
        for (const n of pair) await connection.query('INSERT INTO entry (n) VALUES (?)', [n]);
        await connection.query('COMMIT');
        for (const n of pair) committed.add(n);
        longestGapMs = Math.max(longestGapMs, performance.now() - lastCommit);
        lastCommit = performance.now();
      } catch (error) {
        const { errno, message } = error as { errno?: number; message: string };
        if (!errors.has(errno ?? 0)) errors.set(errno ?? 0, message);
        await connection.query('ROLLBACK');
        await sleep(2);
      }
    }
  };
  for (let at = 0; at < count; at += 1) {
    connections.push(
      await createConnection({
        host: server.host,
        port: server.port,
        user: server.adminUser,
        password: server.adminPassword,
        database,
      }),
    );
  }
  const done = Promise.all(connections.map(write));
  done.catch(() => {});
  return {
    committed,
    errors,
    get longestGapMs() {
      return longestGapMs;
    },
    async untilCommit() {
      const before = committed.size;
      const giveUpAt = Date.now() + 30_000;
      while (committed.size < before + 10) {
        if (Date.now() > giveUpAt)
          throw new Error(`nothing was committed; errors: ${[...errors.values()].join(' | ')}`);
        await sleep(5);
      }
    },
    async stop() {
      stopping = true;
      await done;
      for (const connection of connections) await connection.end();
    },
  };
}

/** The numbers of a database's entries; throws when one of them lacks what its triggers write, or has it twice. */
export async function readAudited(server: TestEngine, database: string, long: string): Promise<Set<number>> {
  const [odd] = await server.query<{ missed: unknown; more: unknown; via: unknown; log: unknown }>(
    `SELECT (SELECT COUNT(*) FROM entry LEFT JOIN audit USING (n) WHERE audit.n IS NULL) AS missed,
       (SELECT COUNT(*) FROM audit) - (SELECT COUNT(*) FROM entry) AS more,
       (SELECT COUNT(*) FROM entry WHERE via IS NULL OR via <> 'trigger') AS via,
       (SELECT COUNT(*) FROM \`${long}\`) - (SELECT COUNT(*) FROM entry) AS log`,
    database,
  );
  const text = Object.values(odd ?? {}).join(' ');
  if (text !== '0 0 0 0')
    throw new Error(`${database}: without audit, audited twice, without via, without log: ${text}`);
  return new Set((await server.query<{ n: unknown }>('SELECT n FROM entry', database)).map(({ n }) => Number(n)));
}
