/** Full, incremental and recovery of PostgreSQL beside pgBackRest. */
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import type { EngineServer } from '../src/embedded/engine-server.js';
import { startEngineServer } from '../src/embedded/engine-server.js';
import { parseLsn } from '../src/engines/postgres/archive/wal-names.js';
import type { Follower } from './chain-launch.js';
import { runTask, startFollower } from './chain-launch.js';
import type { ChainSite } from './chain-site.js';
import { makeSite } from './chain-site.js';
import { generateDatabase } from './generate.js';
import type { PgBackRest } from './pgbackrest.js';
import { archiveCommand, preparePgBackRest } from './pgbackrest.js';
import { mebibytes, median, pairedRatio, percent, ratio, seconds, table } from './report.js';
import type { TlsStore } from './tls-store.js';

/** Of the pages that change between full and incremental: every hundredth. */
const CHANGED_SHARE = 100;

const acts = ['full', 'incremental', 'recoverFull', 'recoverLatest'] as const;
type Act = (typeof acts)[number];
type Sample = { wallMs: number; storedBytes: number };
type Pair = { peer: Sample; tidemark: Sample };
export type PhysicalResult = {
  readonly runs: Record<Act, Pair[]>;
  readonly peerVersion: string;
  readonly deliveryMs: number | null;
  readonly logBytes: number;
  readonly changedPages: number;
};

type Stage = {
  readonly server: EngineServer;
  readonly store: TlsStore;
  readonly site: ChainSite;
  readonly peer: PgBackRest;
  readonly follower: Follower;
  readonly client: pg.Client;
};

export async function benchPhysical(options: {
  readonly mib: number;
  readonly rounds: number;
  readonly store: TlsStore;
  readonly dir: string;
}): Promise<PhysicalResult> {
  const { store, mib } = options;
  const dataDir = join(options.dir, 'pg17');
  const peerDir = join(options.dir, 'peer');
  mkdirSync(peerDir);
  chmodSync(peerDir, 0o755);
  const server = await startEngineServer({
    product: 'pg17',
    dataDir,
    durability: 'fast',
    settings: {
      archive_mode: 'on',
      archive_command: archiveCommand(peerDir),
      autovacuum: 'off',
      // A statement over many rows would be compiled, and fail where the server's LLVM library is not installed.
      jit: 'off',
      // Also with what gives up durability: a page that was torn is not what is measured.
      full_page_writes: 'on',
      max_wal_size: '4GB',
      max_slot_wal_keep_size: '8GB',
    },
  });
  const client = new pg.Client({
    ...{ host: server.host, port: server.port, user: server.adminUser, password: server.adminPassword },
    database: 'bench',
  });
  let follower: Follower | null = null;
  try {
    console.log(`PostgreSQL 17: generating ${mib} MiB`);
    await generateDatabase(server, mib, { fillfactor: 85 });
    await client.connect();
    await client.query('CREATE TABLE progress (changed bigint)');
    await client.query('INSERT INTO progress VALUES (0)');
    await client.query('VACUUM (FREEZE, ANALYZE) item');
    await client.query('CHECKPOINT');
    const peer = await preparePgBackRest(server, store, await store.createBucket(), peerDir);
    const site = await makeSite(server, store.config(await store.createBucket()), 'bench');
    follower = startFollower({ act: 'follow', site, epoch: 0, spoolDir: join(options.dir, 'spool') }, store);
    await follower.receiving();
    return await measure({ server, store, site, peer, follower, client }, options.rounds);
  } finally {
    await follower?.stop();
    await client.end().catch(() => {});
    await server.kill();
    rmSync(dataDir, { recursive: true, force: true });
    rmSync(peerDir, { recursive: true, force: true });
  }
}

async function measure(stage: Stage, rounds: number): Promise<PhysicalResult> {
  const { store, site, peer, client } = stage;
  const runs: PhysicalResult['runs'] = { full: [], incremental: [], recoverFull: [], recoverLatest: [] };
  const { rows } = await client.query("SELECT pg_relation_size('item') / 8192 AS pages");
  const pages = Number(rows[0]?.pages);
  let changed = 0;
  let [deliveryMs, logBytes]: [number | null, number] = [null, 0];
  // Once unmeasured: both find the same warm caches afterwards.
  await peer.full();
  for (let round = 0; round < rounds; round += 1) {
    const pair = async (act: Act, tidemark: () => Promise<Sample>, other: () => Promise<Sample>) => {
      const both: Partial<Pair> = {};
      const ways = ['peer', 'tidemark'] as const;
      // In another order each round: neither always comes first.
      for (const way of round % 2 === 0 ? ways : [...ways].reverse()) {
        await client.query('CHECKPOINT');
        both[way] = await (way === 'peer' ? other() : tidemark());
        console.log(
          `  round ${round + 1} ${act} ${way}: ${seconds(both[way]?.wallMs ?? 0)}, stored ${mebibytes(both[way]?.storedBytes ?? 0)}`,
        );
      }
      runs[act].push(both as Pair);
    };
    let fullId = '';
    const atFull = String(changed);
    const takeFull = async () => {
      const figures = await runTask({ act: 'take', site, parentId: null, fingerprint: true }, store);
      fullId = figures.backupId;
      return figures;
    };
    await pair('full', takeFull, () => peer.full());
    const tids = Array.from(
      { length: Math.floor(pages / CHANGED_SHARE) },
      (_, index) => `(${index * CHANGED_SHARE + round},1)`,
    );
    changed += await change(client, 'ctid = ANY ($1::tid[])', [tids]);
    await pair(
      'incremental',
      () => runTask({ act: 'take', site, parentId: fullId, fingerprint: true }, store),
      () => peer.incremental(),
    );
    changed += await change(client, 'id % 50 = $1', [round]);
    await archived(stage);
    const check = String(changed);
    const nothingStored = (run: { wallMs: number }) => ({ wallMs: run.wallMs, storedBytes: 0 });
    const recover = (target: 'latest' | 'end_of_backup', expected: string) => async () => {
      const deliver = target === 'latest' && round === 0;
      const run = await runTask({ act: 'recover', site, target, check: expected, deliver }, store);
      console.log(
        `    ${run.phases.map(([phase, at]) => `${phase} ${seconds(at)}`).join(', ')}, processor ${seconds(run.cpuMs)}`,
      );
      if (run.deliveryMs !== null) deliveryMs = run.deliveryMs;
      if (target === 'latest') logBytes = run.logBytes;
      return nothingStored(run);
    };
    await pair('recoverFull', recover('end_of_backup', atFull), async () =>
      nothingStored(await peer.restore('end_of_full', atFull)),
    );
    await pair('recoverLatest', recover('latest', check), async () =>
      nothingStored(await peer.restore('latest', check)),
    );
  }
  return { runs, peerVersion: peer.version, deliveryMs, logBytes, changedPages: Math.floor(pages / CHANGED_SHARE) };
}

/** Changes rows, and keeps how many with them: a recovery is right when it finds the number. */
async function change(client: pg.Client, where: string, values: readonly unknown[]): Promise<number> {
  await client.query('BEGIN');
  const { rowCount } = await client.query(`UPDATE item SET price = price + 1 WHERE ${where}`, [...values]);
  await client.query('INSERT INTO progress VALUES ($1)', [rowCount]);
  await client.query('COMMIT');
  return rowCount ?? 0;
}

/** Ends the present segment, which pgBackRest archives only whole, and waits until both archives have it. */
async function archived({ client, follower }: Stage): Promise<void> {
  const { rows } = await client.query(
    'SELECT lsn::text, pg_walfile_name(lsn - 1) AS file FROM (SELECT pg_switch_wal() AS lsn) switched',
  );
  const { lsn, file } = rows[0] as { lsn: string; file: string };
  await follower.until(
    (slices) => parseLsn(slices.at(-1)?.end.lsn ?? '0/0') >= parseLsn(lsn),
    `the archive reaches ${lsn}`,
  );
  for (;;) {
    const { rows: state } = await client.query('SELECT last_archived_wal AS file FROM pg_stat_archiver');
    if (String(state[0]?.file ?? '') >= file) return;
    await client.query('SELECT pg_sleep(0.1)');
  }
}

const TARGETS: Record<Act, number> = { full: 1.15, incremental: 1, recoverFull: 1, recoverLatest: 1 };
const TITLES: Record<Act, string> = {
  full: 'full',
  incremental: 'incremental after 1 % of pages',
  recoverFull: 'full restored, recovered, open',
  recoverLatest: 'full + incremental + log restored, recovered, open',
};

export function physicalSection(result: PhysicalResult): string[] {
  const { runs } = result;
  const wall = (act: Act, way: keyof Pair) => runs[act].map((pair) => pair[way].wallMs);
  const stored = (act: Act, way: keyof Pair) => median(runs[act].map((pair) => pair[way].storedBytes));
  const rows = acts.map((act) => {
    const ratios = runs[act].map((pair) => pair.tidemark.wallMs / pair.peer.wallMs);
    return [
      TITLES[act],
      seconds(median(wall(act, 'peer'))),
      seconds(median(wall(act, 'tidemark'))),
      ratio(pairedRatio(wall(act, 'tidemark'), wall(act, 'peer'))),
      ratios.map(ratio).join(', '),
      ratio(TARGETS[act]),
      act.startsWith('recover') ? '' : mebibytes(stored(act, 'peer')),
      act.startsWith('recover') ? '' : mebibytes(stored(act, 'tidemark')),
    ];
  });
  const share = stored('incremental', 'tidemark') / stored('full', 'tidemark');
  const peerShare = stored('incremental', 'peer') / stored('full', 'peer');
  return [
    ...table(
      [
        'PostgreSQL 17',
        'pgBackRest',
        'Tidemark',
        'ratio',
        'in each round',
        'target',
        'stored by pgBackRest',
        'stored by Tidemark',
      ],
      rows,
    ),
    '',
    `The incremental is ${percent(share)} of the full in bytes (target 3 %; pgBackRest: ${percent(peerShare)}); ${result.changedPages} pages were changed, each hundredth.`,
    `The log of the last recovery: ${mebibytes(result.logBytes)}.` +
      (result.deliveryMs === null
        ? ''
        : ` Delivery (dump from the sandbox, load into a database on the source, compare): ${seconds(result.deliveryMs)}.`),
    `Peer: pgBackRest ${result.peerVersion}, process-max 2, zstd level 3, AES-256-CBC, bundles and block incrementals on; it reads the cluster's files,`,
    'Tidemark reads over the wire. Both restored servers run with the same settings (no fsync, 128 MiB of shared buffers).',
  ];
}
