import { existsSync, readdirSync, readlinkSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  findDescendants,
  markProcess,
  readCommandLine,
  signalProcess,
  waitForEnd,
} from '../../../src/platform/processes.js';
import { signalComponent } from '../disturbances.js';
import type { Random } from '../random.js';
import { withSql } from '../sql.js';
import type { ChainWorld, Protected } from './chain-world.js';
import { untilCovered } from './chain-world.js';

export const killSorts = [
  'receiver',
  'source',
  'worker',
  'worker and its spool',
  'store',
  'Temporal',
  'catalog',
  'whole service',
] as const;
export type KillSort = (typeof killSorts)[number];

/** One kill as one server met it. */
export type KillResult = {
  readonly sort: KillSort;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** From the kill until all that was committed by then, and all that came meanwhile, was stored: the log is followed again. */
  readonly followedAgainMs: number;
};

/** Those that meet every server at once. */
const shared: readonly (readonly [KillSort, number])[] = [
  ['worker', 4],
  ['worker and its spool', 3],
  ['store', 3],
  ['Temporal', 3],
  ['catalog', 3],
  ['whole service', 2],
];
const own: readonly (readonly [KillSort, number])[] = [
  ['receiver', 3],
  ['source', 2],
];

/** On a machine that others keep busy the start of a worker alone takes minutes. */
const FOLLOWED_WITHIN_MS = 600_000;
/** A kill meets nothing new before what the last one stopped has begun again. */
const DOWN_WITHIN_MS = 120_000;

/** The kill of one round for each server: the same for all, or each its own. */
export function drawKills(random: Random, servers: readonly Protected[]): Map<Protected, KillSort> {
  const all = random.chance(0.5) ? random.weighted(shared) : null;
  return new Map(servers.map((server) => [server, all ?? random.weighted(own)]));
}

/** `kill -9`, and then waits until every server's log is followed again. `tell` is called for each that is. */
export async function killAndFollow(
  world: ChainWorld,
  kills: ReadonlyMap<Protected, KillSort>,
  random: Random,
  tell: (server: Protected, result: KillResult) => void,
): Promise<void> {
  const pauseMs = random.int(0, 4_000);
  const [first] = kills.values();
  const killedAll = shared.some(([sort]) => sort === first) && first !== undefined;
  const killedAt = new Map<Protected, number>();
  if (killedAll) {
    const at = await killShared(world, first);
    for (const server of kills.keys()) killedAt.set(server, at);
  }
  await Promise.all(
    [...kills].map(async ([server, sort]) => {
      if (!killedAll) killedAt.set(server, await killOwn(world, server, sort, pauseMs));
      const at = killedAt.get(server) ?? Date.now();
      // What the application commits after the kill must be stored too: a coverage that was established before says nothing.
      await untilCovered(world, server.chainId, Math.max(at, Date.now()), FOLLOWED_WITHIN_MS);
      tell(server, { sort, at, followedAgainMs: Date.now() - at });
    }),
  );
}

const components = {
  worker: 'worker',
  'worker and its spool': 'worker',
  store: 's3',
  Temporal: 'temporal',
  catalog: 'database',
} as const;

async function killShared(world: ChainWorld, sort: KillSort): Promise<number> {
  if (sort === 'whole service') {
    await untilUp(() => world.service.process.run().pids.worker ?? null, sort);
    const killedAt = Date.now();
    await world.service.killAndRestart();
    return killedAt;
  }
  const name = components[sort as keyof typeof components];
  const pid = await untilUp(() => world.service.process.run().pids[name] ?? null, sort);
  const mark = markProcess(pid);
  const at = Date.now();
  signalComponent(world, name, 'SIGKILL');
  if (sort === 'worker and its spool') {
    if (mark !== null) await waitForEnd([mark], 10_000);
    loseSpool(world.service.home);
  }
  return at;
}

/** Away at once, by its name, before the next worker looks; its content follows. */
function loseSpool(home: string): void {
  const spool = join(home, 'spool');
  if (!existsSync(spool)) return;
  const lost = join(home, `spool-lost-${Date.now()}`);
  renameSync(spool, lost);
  rmSync(lost, { recursive: true, force: true });
}

async function killOwn(world: ChainWorld, server: Protected, sort: KillSort, pauseMs: number): Promise<number> {
  if (sort === 'source') {
    const at = Date.now();
    await server.source.server.kill();
    await sleep(pauseMs);
    await server.source.server.restart();
    return at;
  }
  if (server.source.admin.engine === 'postgresql') {
    // Its receiver is a connection of the worker's: what dies alone is the sender.
    return await withSql(server.source.admin, undefined, async (sql) => {
      const at = Date.now();
      await sql.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'walsender' and application_name = 'tidemark archive'`,
      );
      return at;
    });
  }
  const pid = await untilUp(() => findReceiver(world, server), `${sort} of ${server.product}`);
  const mark = markProcess(pid);
  const at = Date.now();
  if (mark !== null) signalProcess(mark, 'SIGKILL');
  return at;
}

const RECEIVERS = /\/(mysqlbinlog|mariadb-binlog)$/;

/** Process id of the program that receives a server's log: it works in the spool of its chain. Null when none runs. */
export function findReceiver(world: ChainWorld, { chainId }: Protected): number | null {
  const up = world.service.process.run().pids.up ?? 0;
  for (const { pid } of findDescendants(up)) {
    const line = readCommandLine(pid);
    if (RECEIVERS.test(line[0] ?? '') && line.some((part) => part.includes(chainId))) return pid;
  }
  return null;
}

/** Receivers anywhere on this machine that work below a folder. */
export function receiversBelow(folder: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      const line = readCommandLine(Number(name));
      return line.some((part) => part.includes(folder)) && RECEIVERS.test(line[0] ?? '');
    })
    .map((name) => `${name} ${readlinkSafe(name)}`);
}

function readlinkSafe(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return 'that has just ended';
  }
}

async function untilUp(look: () => number | null, what: string): Promise<number> {
  const giveUpAt = Date.now() + DOWN_WITHIN_MS;
  for (;;) {
    const pid = look();
    if (pid !== null && markProcess(pid) !== null) return pid;
    if (Date.now() > giveUpAt) throw new Error(`${what} does not run, ${DOWN_WITHIN_MS / 1000} s after the last kill`);
    await sleep(200);
  }
}
