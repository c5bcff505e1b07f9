import { setTimeout as sleep } from 'node:timers/promises';
import type { Account, Sql } from '../sql.js';
import { openSql, quoteName, withSql } from '../sql.js';

/** Whatever else goes on on a server: another busy database, and accounts, grants and definitions in the log. */
export type Noise = { readonly transactions: number; stop(): Promise<void> };

const DATABASE = 'busy neighbour';

export async function startNoise(admin: Account, pauseMs: number): Promise<Noise> {
  const postgres = admin.engine === 'postgresql';
  await withSql(admin, undefined, (sql) => sql.query(`create database ${quoteName(admin.engine, DATABASE)}`));
  await withSql(admin, DATABASE, async (sql) => {
    await sql.query('create table noise (id int primary key, text varchar(400))');
    const numbers = Array.from({ length: 500 }, (_, id) => `(${id}, '')`);
    await sql.query(`insert into noise values ${numbers.join(', ')}`);
  });
  let stopping = false;
  let transactions = 0;

  const account = async (sql: Sql, k: number) => {
    const user = postgres ? `"later ${k}"` : `\`later ${k}\`@localhost`;
    await sql.query(postgres ? `create role ${user} login` : `create user ${user} identified by 'long enough ${k}'`);
    await sql.query(`grant select${postgres ? '' : ', insert'} on noise to ${user}`);
    if (k % 2 === 1) await sql.query(postgres ? `revoke all on noise from ${user}` : `drop user ${user}`);
  };
  const definition = async (sql: Sql, k: number) => {
    await sql.query(`create table later_${k} (id int primary key)`);
    await sql.query(`alter table later_${k} add column added varchar(20) default 'x'`);
    await sql.query(`insert into later_${k} (id) values (1), (2)`);
    if (k % 3 !== 0) await sql.query(`drop table later_${k}`);
  };

  const loop = async () => {
    let sql: Sql | null = null;
    for (let k = 1; !stopping; k += 1) {
      try {
        sql ??= await openSql(admin, DATABASE);
        await sql.query('begin');
        await sql.query('update noise set text = ? where id between ? and ?', [
          `${k} `.repeat(30),
          k % 480,
          (k % 480) + 15,
        ]);
        await sql.query(k % 9 === 0 ? 'rollback' : 'commit');
        if (k % 25 === 0) await account(sql, k);
        if (k % 40 === 0) await definition(sql, k);
        transactions += 1;
        await sleep(pauseMs);
      } catch {
        // The server was killed; what of the last statement is there does not matter here.
        sql?.destroy();
        sql = null;
        await sleep(200);
      }
    }
    await sql?.close().catch(() => {});
  };
  const done = loop();
  return {
    get transactions() {
      return transactions;
    },
    async stop() {
      stopping = true;
      await done;
    },
  };
}
