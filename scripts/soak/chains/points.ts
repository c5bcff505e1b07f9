/** Random points of the window, restored under another name and compared row by row with what the two accounts of the source say. */
import type { RecoveryWindowResource } from '../../../src/domain/schemas/policies.js';
import { fromMicros, toMicros } from '../../../src/engines/shared/microseconds.js';
import { Broken, hold } from '../broken.js';
import type { Random } from '../random.js';
import type { Commit } from './application.js';
import { committedAt } from './application.js';
import type { ChainWorld, Protected } from './chain-world.js';
import type { Restored } from './restore-copy.js';
import { restoreCopy, whileReachable } from './restore-copy.js';
import type { LogEntry } from './source-log.js';
import { readSourceLog } from './source-log.js';

export const pointSorts = [
  'on a commit',
  'between two commits',
  'short of a commit',
  'position',
  'short of a position',
  'start of the window',
  'end of the window',
  'latest',
  'before the window',
  'after the window',
] as const;
export type PointSort = (typeof pointSorts)[number];

export type PointResult = {
  readonly sort: PointSort;
  readonly point: string;
  /** `exact`: every row as it must be; `refused`: outside of the window and said so; `given up`: what the kills around it broke off, and said so. */
  readonly outcome: 'exact' | 'refused' | 'given up';
  /** Code of what was given up. */
  readonly code: string | null;
  /** From the request to the settled restore. */
  readonly ms: number;
  /** Milliseconds since 1970. */
  readonly settledAt: number;
  readonly note: string;
};

const share: readonly (readonly [PointSort, number])[] = [
  ['on a commit', 4],
  ['between two commits', 4],
  ['short of a commit', 3],
  ['position', 2],
  ['short of a position', 2],
  ['start of the window', 1],
  ['end of the window', 1],
  ['latest', 1],
  ['before the window', 1],
  ['after the window', 1],
];

/** So many sorts in random order, each as often as its share of twenty. */
export function drawSorts(random: Random, points: number): PointSort[] {
  const twenty = share.flatMap(([sort, times]) => Array.from({ length: times }, () => sort));
  const drawn: PointSort[] = [];
  while (drawn.length < points) {
    const rest = [...twenty];
    while (rest.length > 0) drawn.push(...rest.splice(random.int(0, rest.length - 1), 1));
  }
  return drawn.slice(0, points);
}

type Point = { readonly time?: string; readonly position?: string; readonly before?: boolean };
type Window = { readonly from: string; readonly to: string };

export async function checkPoint(
  world: ChainWorld,
  server: Protected,
  sort: PointSort,
  random: Random,
): Promise<PointResult> {
  const window = await readWindow(world, server);
  switch (sort) {
    case 'before the window':
      return await refusedPoint(world, server, sort, Date.parse(window.from) - random.int(2_000, 3_600_000));
    case 'after the window':
      // Far enough: the window goes on while we ask.
      return await refusedPoint(world, server, sort, Date.parse(window.to) + random.int(600_000, 7_200_000));
    case 'latest':
      return await latestPoint(world, server);
    case 'start of the window':
      return await timePoint(world, server, sort, { time: window.from }, Date.parse(window.from));
    case 'end of the window':
      return await timePoint(world, server, sort, { time: window.to }, Date.parse(window.to));
    default:
      return await commitPoint(world, server, sort, window, random);
  }
}

export async function readWindow({ service }: ChainWorld, { product, databaseId }: Protected): Promise<Window> {
  const path = `/v1/databases/${databaseId}/recovery-window`;
  const { from, to, runs } = await service.call<RecoveryWindowResource>('GET', path);
  if (from === null || to === null) throw new Broken(`${product} has no recovery window`);
  hold(runs.length === 1, `the window of ${product} is broken: ${JSON.stringify(runs)}`);
  return { from, to };
}

/** Commits on both sides that are read from the log with the one in question. */
const AROUND = 30;

async function logAround(server: Protected, commit: Commit): Promise<readonly LogEntry[]> {
  const { commits } = server.application;
  const at = commits.indexOf(commit);
  const marked = (from: number, to: number, least: boolean) => {
    const found = commits.slice(Math.max(0, from), to).filter(({ mark }) => !isPostgres(server) || mark !== null);
    return least ? found[0] : found.at(-1);
  };
  const first = marked(at - AROUND, at, true);
  const last = marked(at + 1, at + AROUND, false);
  if (first === undefined || last === undefined) throw new Error('too near to an end of the account');
  const place = (one: Commit, ms: number) => ({ n: one.n, ms, mark: one.mark });
  const stretch = { from: place(first, first.from), to: place(last, last.to) };
  return await whileReachable(`the log of ${server.product}`, () => readSourceLog(server.source, server.name, stretch));
}

const isPostgres = ({ source }: Protected) => source.account.engine === 'postgresql';

/** What a time means: everything before the first transaction, in the order of the log, that was committed later. */
function expectedAt(entries: readonly LogEntry[], time: bigint, before: boolean): number | null {
  const cut = entries.findIndex(({ at }) => (before ? at >= time : at > time));
  if (cut < 0) return null;
  return entries.slice(0, cut).findLast(({ n }) => n !== null)?.n ?? null;
}

async function commitPoint(
  world: ChainWorld,
  server: Protected,
  sort: PointSort,
  window: Window,
  random: Random,
): Promise<PointResult> {
  const [from, to] = [Date.parse(window.from) + 3_000, Date.parse(window.to) - 1_000];
  const inside = server.application.commits.filter((commit) => commit.from > from && commit.to < to).slice(0, -AROUND);
  hold(inside.length > 0, `${server.product}: no commit lies inside the window ${window.from} to ${window.to}`);
  // A third of them among what was written last: what the archive has only just stored.
  const pool = random.chance(0.33) ? inside.slice(-400) : inside;
  for (let tries = 0; tries < 10; tries += 1) {
    const commit = random.pick(pool);
    const entries = await logAround(server, commit);
    const index = entries.findIndex(({ n }) => n === commit.n);
    const entry = entries[index];
    const next = entries[index + 1];
    if (entry === undefined || next === undefined) continue;
    const point = pointAt(sort, entry, next);
    const expected =
      point.time === undefined
        ? commit.n - (point.before ? 1 : 0)
        : expectedAt(entries, toMicros(point.time).micros, point.before === true);
    if (expected === null) continue;
    return await judge(world, server, sort, point, (found) =>
      found === expected ? null : `transaction ${found}, not ${expected}`,
    );
  }
  throw new Error(`${server.product}: the source's log tells nothing of ten random commits`);
}

function pointAt(sort: PointSort, entry: LogEntry, next: LogEntry): Point {
  switch (sort) {
    case 'position':
      return { position: entry.position };
    case 'short of a position':
      return { position: entry.position, before: true };
    case 'short of a commit':
      return { time: fromMicros(entry.at), before: true };
    case 'between two commits':
      // Of two in one second, which is all that MariaDB's log knows: within it.
      return { time: fromMicros(next.at - entry.at > 1n ? entry.at + (next.at - entry.at) / 2n : entry.at + 500_000n) };
    default:
      return { time: fromMicros(entry.at) };
  }
}

/** An edge of the window: its time is no commit's. */
async function timePoint(world: ChainWorld, server: Protected, sort: PointSort, point: Point, ms: number) {
  const { commits } = server.application;
  await server.application.writer.untilCommit(60_000);
  return await judge(world, server, sort, point, async (found) => {
    const nearest = commits.findLast((commit) => commit.to <= ms) ?? commits[0];
    if (nearest === undefined) return 'nothing was committed';
    const entries = await logAround(server, nearest);
    const expected = expectedAt(entries, toMicros(point.time ?? '').micros, false);
    return found === expected ? null : `transaction ${found}, not ${expected}`;
  });
}

async function latestPoint(world: ChainWorld, server: Protected): Promise<PointResult> {
  const { commits, writer } = server.application;
  const { to } = await readWindow(world, server);
  const { least } = committedAt(commits, Date.parse(to));
  return await judge(world, server, 'latest', {}, (found) =>
    found >= least && found <= writer.sent ? null : `transaction ${found}, not one of ${least} to ${writer.sent}`,
  );
}

async function refusedPoint(world: ChainWorld, server: Protected, sort: PointSort, ms: number): Promise<PointResult> {
  const started = performance.now();
  const time = new Date(ms).toISOString();
  const answer = await world.service.request<{ code?: string; detail?: string }>('POST', '/v1/restores', {
    source: { kind: 'pitr', databaseId: server.databaseId, time },
    target: { kind: 'server', databaseId: server.databaseId, database: 'never made' },
  });
  hold(
    answer.status === 422 && answer.body.code === 'outside_window',
    `${server.product} at ${time}, which is ${sort}, was answered ${answer.status} ${JSON.stringify(answer.body)}`,
  );
  return {
    sort,
    point: time,
    outcome: 'refused',
    code: null,
    ms: performance.now() - started,
    settledAt: Date.now(),
    note: '',
  };
}

async function judge(
  world: ChainWorld,
  server: Protected,
  sort: PointSort,
  point: Point,
  complaintOf: (found: number) => string | null | Promise<string | null>,
): Promise<PointResult> {
  const said = `${point.time ?? point.position ?? 'latest'}${point.before ? ' (before)' : ''}`;
  const restored: Restored = await restoreCopy(world, server, {
    source: { kind: 'pitr', databaseId: server.databaseId, ...point },
    what: `${server.product}, ${sort}, ${said}`,
  });
  const { row, ms, found } = restored;
  const settledAt = Date.parse(row.completedAt ?? row.createdAt);
  if (found === null)
    return {
      sort,
      point: said,
      outcome: 'given up',
      code: row.error?.code ?? '',
      ms,
      settledAt,
      note: row.error?.message ?? '',
    };
  const complaint = await complaintOf(found);
  hold(
    complaint === null,
    `${row.id} (${server.product}, ${sort}, ${said}) holds ${complaint}; last applied ${JSON.stringify(row.lastApplied)}, first refused ${JSON.stringify(row.firstRefused)}`,
  );
  return { sort, point: said, outcome: 'exact', code: null, ms, settledAt, note: `transaction ${found}` };
}
