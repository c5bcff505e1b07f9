/** Backups, restores and reverts as the soak asks for them, with what must be true of their results. */

import type { ErrorCode } from '../../src/domain/errors.js';
import type { BackupResource } from '../../src/domain/schemas/backups.js';
import type { RestoreResource } from '../../src/domain/schemas/restores.js';
import { asideNameOf } from '../../src/recovery/names.js';
import { hold } from './broken.js';
import { checkError } from './invariants.js';
import { verifyLedger } from './ledger.js';
import type { Account } from './sql.js';
import { dropDatabase, listDatabases, quoteName, withSql } from './sql.js';
import type { KeptBackup, Subject, World } from './world.js';
import { sourceOf } from './world.js';
import type { Writer } from './writer.js';

export type Outcome = { readonly status: string; readonly code: ErrorCode | null; readonly settleMs: number };

/** Told of a run as soon as it exists, and of each phase of its progress. */
export type Watcher = { started(path: string): void; phase(name: string): void };

export const nobody: Watcher = { started: () => {}, phase: () => {} };

const SETTLE_WITHIN_MS = 420_000;

function watched(watcher: Watcher) {
  return (run: { status: string; progress: { phase: string } | null }) => {
    if (run.progress !== null) watcher.phase(run.progress.phase);
    return run.status !== 'pending' && run.status !== 'in_progress';
  };
}

export async function takeBackup(
  world: World,
  subject: Subject,
  writer: Writer,
  watcher: Watcher,
  planId = subject.planId,
): Promise<Outcome & { readonly backup: KeptBackup | null }> {
  const from = writer.acknowledged;
  const started = performance.now();
  const { id } = await world.service.call<{ id: string }>('POST', '/v1/backups', {
    planId,
    label: `soak of ${subject.name}`,
  });
  watcher.started(`/v1/backups/${id}`);
  const row = await world.service.untilSettled<BackupResource>(`/v1/backups/${id}`, watched(watcher), SETTLE_WITHIN_MS);
  const settleMs = performance.now() - started;
  const code = checkError(row);
  if (row.status !== 'completed') return { status: row.status, code, settleMs, backup: null };
  const backup: KeptBackup = { id, planId, from, to: writer.sent, exact: null };
  subject.backups.push(backup);
  return { status: row.status, code, settleMs, backup };
}

/** Restores beside the original and compares every row with the moment that the backup can show. */
export async function restoreBeside(
  world: World,
  subject: Subject,
  backup: KeptBackup,
  how: 'registered' | 'connection',
  watcher: Watcher,
): Promise<Outcome> {
  const { account, admin, proxy } = sourceOf(world, subject.product);
  const name = `${subject.name} copy`;
  const target =
    how === 'registered'
      ? { kind: 'server', databaseId: subject.databaseId, database: name }
      : {
          kind: 'server',
          host: '127.0.0.1',
          port: proxy.port,
          username: account.username,
          password: account.password,
          database: name,
        };
  const { row, settleMs } = await restore(world, { source: { kind: 'backup', backupId: backup.id }, target }, watcher);
  const code = checkError(row);
  if (row.status === 'completed') {
    hold(row.proof === 'source' || row.proof === 'continuity', `${row.id} is completed without a proof`);
    matchMoment(backup, await verifyLedger(account, name, subject.ledger), `${row.id} of ${backup.id}`);
    await dropDatabase(admin, name);
  } else {
    const names = await listDatabases(account);
    hold(!names.includes(name), `${row.id} is ${row.status} (${code}) and left its target ${name}`);
  }
  return { status: row.status, code, settleMs };
}

/** Restores over the original while the application writes: afterwards it holds exactly the old or exactly the new content. */
export async function restoreOriginal(
  world: World,
  subject: Subject,
  backup: KeptBackup,
  writer: Writer,
  watcher: Watcher,
): Promise<Outcome> {
  const jumpsBefore = writer.jumps.length;
  const { row, settleMs } = await restore(
    world,
    {
      source: { kind: 'backup', backupId: backup.id },
      target: { kind: 'original' },
      overwrite: true,
      confirmOverwrite: true,
      keepPreviousHours: 24,
    },
    watcher,
  );
  const code = checkError(row);
  await writer.untilCommit(60_000);
  const jumps = writer.jumps.slice(jumpsBefore);
  if (row.status !== 'completed') {
    hold(jumps.length === 0, `${row.id} is ${row.status}, but its target was replaced: ${JSON.stringify(jumps)}`);
    return { status: row.status, code, settleMs };
  }
  const [jump] = jumps;
  hold(
    jump !== undefined && jumps.length === 1,
    `${row.id} is completed; the application saw ${JSON.stringify(jumps)}`,
  );
  matchMoment(backup, jump.to, `${row.id} of ${backup.id}`);
  hold(row.previousName !== null, `${row.id} replaced its target and names no former content`);
  const { account } = sourceOf(world, subject.product);
  const stoodAt = [jump.from, ...(jump.maybe === null ? [] : [jump.maybe])];
  const kept = await verifyKept(account, row.previousName, subject);
  hold(
    stoodAt.includes(kept),
    `${row.id} kept transaction ${kept}; the application had committed ${stoodAt.join(' or ')}`,
  );
  subject.aside.push(row.previousName);
  subject.revertible = { restoreId: row.id, stoodAt: [kept] };
  return { status: row.status, code, settleMs };
}

export async function revertLast(world: World, subject: Subject, writer: Writer): Promise<Outcome> {
  const { revertible } = subject;
  if (revertible === null) throw new Error('nothing to revert');
  const path = `/v1/restores/${revertible.restoreId}`;
  const jumpsBefore = writer.jumps.length;
  const started = performance.now();
  const before = await world.service.call<RestoreResource>('POST', `${path}/revert`, {});
  const row = await world.service.untilSettled<RestoreResource>(
    path,
    (reading) => reading.revertedAt !== null || reading.revertError !== null,
    SETTLE_WITHIN_MS,
  );
  const settleMs = performance.now() - started;
  await writer.untilCommit(60_000);
  const jumps = writer.jumps.slice(jumpsBefore);
  if (row.revertedAt === null) {
    hold(jumps.length === 0, `the revert of ${row.id} failed, but its target was replaced: ${JSON.stringify(jumps)}`);
    return { status: 'failed', code: row.revertError?.code as ErrorCode, settleMs };
  }
  const [jump] = jumps;
  hold(jump !== undefined && jumps.length === 1, `${row.id} is reverted; the application saw ${JSON.stringify(jumps)}`);
  hold(
    revertible.stoodAt.includes(jump.to),
    `the revert of ${row.id} brought transaction ${jump.to} back, not ${revertible.stoodAt}`,
  );
  const { account } = sourceOf(world, subject.product);
  const aside = asideNameOf(account.engine, row.target.database, row.id);
  const kept = await verifyKept(account, aside, subject);
  hold(
    kept === jump.from || kept === jump.maybe,
    `the revert of ${row.id} set transaction ${kept} aside, not ${jump.from}`,
  );
  subject.aside = subject.aside.filter((name) => name !== before.previousName);
  subject.aside.push(aside);
  subject.revertible = null;
  return { status: 'completed', code: null, settleMs };
}

export async function restore(
  world: World,
  body: Record<string, unknown>,
  watcher: Watcher,
): Promise<{ row: RestoreResource; settleMs: number }> {
  const started = performance.now();
  const { id } = await world.service.call<{ id: string }>('POST', '/v1/restores', body);
  watcher.started(`/v1/restores/${id}`);
  const row = await world.service.untilSettled<RestoreResource>(
    `/v1/restores/${id}`,
    watched(watcher),
    SETTLE_WITHIN_MS,
  );
  return { row, settleMs: performance.now() - started };
}

/** Former content is closed to connections on PostgreSQL, so that no application goes on writing to it: opened for the look alone. */
async function verifyKept(account: Account, name: string, subject: Subject): Promise<number> {
  if (account.engine !== 'postgresql') return await verifyLedger(account, name, subject.ledger);
  const quoted = quoteName(account.engine, name);
  const allow = (open: boolean) =>
    withSql(account, undefined, (sql) => sql.query(`alter database ${quoted} allow_connections ${open}`));
  const [state] = await withSql(account, undefined, (sql) =>
    sql.query<{ datallowconn: boolean }>('select datallowconn from pg_database where datname = ?', [name]),
  );
  hold(state !== undefined, `the kept content ${name} is not there`);
  await allow(true);
  try {
    return await verifyLedger(account, name, subject.ledger);
  } finally {
    await allow(state.datallowconn);
  }
}

/** A backup shows one moment, always the same, that the source really had while it was taken. */
function matchMoment(backup: KeptBackup, found: number, what: string): void {
  hold(
    found >= backup.from && found <= backup.to,
    `${what} shows transaction ${found}; the source stood between ${backup.from} and ${backup.to}`,
  );
  hold(
    backup.exact === null || backup.exact === found,
    `${what} shows transaction ${found}, earlier it was ${backup.exact}`,
  );
  backup.exact = found;
}
