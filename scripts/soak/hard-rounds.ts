/** Rounds that bring their own trouble. */
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { placeForServers } from '../../src/embedded/server-place.js';
import { hold } from './broken.js';
import type { Outcome } from './runs.js';
import { nobody, takeBackup } from './runs.js';
import { openSql } from './sql.js';
import { deleteOne } from './stored.js';
import type { Subject, World } from './world.js';
import { sourceOf } from './world.js';
import type { Writer } from './writer.js';

type Result = { outcome: Outcome; note: string };

/** No write may wait longer, whatever a dump waits for (design section 4). */
const LONGEST_WRITE_MS = 2_000;

/** A statement that runs for 60 s on the source while a dump starts: the application must not notice. */
export async function longSelect(world: World, subject: Subject, writer: Writer, luck: number): Promise<Result> {
  const { account } = sourceOf(world, subject.product);
  const select = await openSql(account, subject.name);
  const pauses = watchPauses();
  try {
    const slow =
      account.engine === 'postgresql'
        ? 'select count(*), pg_sleep(60) from bulk_data'
        : 'select count(*), sleep(60) from bulk_data';
    const running = select.query(slow).catch(() => {});
    // Not always old enough to be seen as a long one at the first look.
    await sleep(luck * 8_000);
    writer.resetSlowest();
    pauses.reset();
    const taken = await takeBackup(world, subject, writer, nobody);
    await writer.untilCommit(60_000);
    const slowest = writer.slowestMs;
    const pause = pauses.longest();
    select.destroy();
    await running;
    // When this machine stood still itself, the wait says nothing.
    hold(
      slowest <= LONGEST_WRITE_MS + pause,
      `a write waited ${Math.round(slowest)} ms while a dump started beside a long SELECT (this process paused ${Math.round(pause)} ms at most)`,
    );
    return { outcome: taken, note: '' };
  } finally {
    pauses.stop();
    select.destroy();
    if (account.engine === 'postgresql') await endSleepers(world, subject);
  }
}

/** A cancelled client does not end a statement that sleeps. */
async function endSleepers(world: World, subject: Subject): Promise<void> {
  const { account } = sourceOf(world, subject.product);
  const sql = await openSql(account);
  try {
    await sql.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(60)%' and pid <> pg_backend_pid()`,
    );
  } finally {
    await sql.close();
  }
}

/** The longest time in which this process did not run when it wanted to. */
function watchPauses(): { longest(): number; reset(): void; stop(): void } {
  let longest = 0;
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - last - 20);
    last = now;
  }, 20);
  return {
    longest: () => longest,
    reset() {
      longest = 0;
    },
    stop: () => clearInterval(timer),
  };
}

/** A backup onto a disk that is full, or becomes so: it says so, leaves nothing, and the next one completes. */
export async function fullDisk(world: World, subject: Subject, writer: Writer, luck: number): Promise<Result> {
  const plan = await world.service.call<{ id: string }>('POST', '/v1/plans', {
    name: `small disk ${Math.floor(luck * 1e9)}`,
    databaseId: subject.databaseId,
    destinationId: world.smallDestinationId,
    schedule: { type: 'manual' },
  });
  let first: Awaited<ReturnType<typeof takeBackup>>;
  world.disk.fill(Math.floor(luck * 40_000));
  try {
    first = await takeBackup(world, subject, writer, nobody, plan.id);
  } finally {
    world.disk.free();
  }
  hold(
    first.status === 'completed' || first.code === 'destination_full',
    `a backup onto a full disk ended ${first.status} ${first.code}`,
  );
  const second = await takeBackup(world, subject, writer, nobody, plan.id);
  hold(second.status === 'completed', `a backup onto a disk with space ended ${second.status} ${second.code}`);
  for (const { backup } of [first, second]) {
    if (backup === null) continue;
    subject.backups = subject.backups.filter((one) => one !== backup);
    await world.service.request('DELETE', `/v1/backups/${backup.id}`);
    await world.service.untilGone(`/v1/backups/${backup.id}`, 240_000);
  }
  return { outcome: { ...first, status: first.status === 'failed' ? 'refused' : first.status }, note: '' };
}

/** The catalog as it was some minutes ago: what was stored since stays, what it knows goes on. */
export async function yesterdaysCatalog(world: World, subject: Subject, writer: Writer): Promise<Result> {
  const { service } = world;
  const catalog = join(placeForServers(service.home), 'database');
  const earlier = `${catalog}.earlier`;
  // The forgotten backup must not make retention remove one that the earlier catalog still counts on.
  const [oldest] = subject.backups;
  if (oldest !== undefined) await deleteOne(world, subject, oldest);
  await service.stopAndRestart(() => copyFolder(catalog, earlier));
  const known = [...subject.backups];
  const taken = await takeBackup(world, subject, writer, nobody);
  const forgotten = taken.backup;
  await service.stopAndRestart(() => {
    rmSync(catalog, { recursive: true });
    copyFolder(earlier, catalog);
    rmSync(earlier, { recursive: true });
  });
  subject.backups = known;
  if (forgotten !== null) {
    world.forgotten.add(forgotten.id);
    const { status } = await service.request('GET', `/v1/backups/${forgotten.id}`);
    hold(status === 404, `the earlier catalog knows ${forgotten.id}: ${status}`);
  }
  const next = await takeBackup(world, subject, writer, nobody);
  return { outcome: next, note: `forgot ${forgotten?.id ?? 'nothing'}` };
}

function copyFolder(from: string, to: string): void {
  execFileSync('cp', ['-a', from, to]);
}
