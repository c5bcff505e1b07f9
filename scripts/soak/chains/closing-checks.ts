/** What must hold of the chains when a run has ended and everything was given the time to settle. */
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compareLogPositions } from '../../../src/domain/compare-positions.js';
import type { LogPosition } from '../../../src/domain/positions.js';
import type { AttachmentResource } from '../../../src/domain/schemas/policies.js';
import { readCommandLine } from '../../../src/platform/processes.js';
import { Broken, comesToHold, hold } from '../broken.js';
import { checkRuns, storeAgrees, uploadsLeft } from '../invariants.js';
import type { Random } from '../random.js';
import type { Account } from '../sql.js';
import { listDatabases, withSql } from '../sql.js';
import type { Source } from '../world.js';
import type { BackupResult } from './chain-backups.js';
import type { ChainWorld, Protected } from './chain-world.js';
import { untilCovered } from './chain-world.js';
import { receiversBelow } from './kills.js';
import { readWindow } from './points.js';
import { restoreCopy } from './restore-copy.js';

const CLEAN_WITHIN_MS = 180_000;

export type Gap = { readonly product: string; readonly code: string; readonly message: string };

/** Every gap that was noted. None of the kills loses log that the source still has, so that each is one too many. */
export async function findGaps(world: ChainWorld, server: Protected): Promise<Gap[]> {
  const rows = await world.catalog<{ reason: { code: string; message: string } }>(
    'select "reason" from "LogGap" where "chainId" = $1',
    [server.chainId],
  );
  return rows.map(({ reason }) => ({ product: server.product, ...reason }));
}

type Slots = Pick<Protected, 'slotName' | 'chainId' | 'product'> & {
  readonly source: Pick<Source, 'account' | 'admin'>;
};

/**
 * Nothing is acknowledged to PostgreSQL before it is stored: the slot that holds its WAL is never ahead of the last slice. And whatever was
 * killed, no slot but those of the chain stays: one that nobody moves fills the source's disk.
 */
export async function slotIsBehind(
  world: Pick<ChainWorld, 'catalog'>,
  { source, slotName, chainId, product }: Slots,
): Promise<void> {
  if (source.account.engine !== 'postgresql') return;
  const foreign = await slotsLeft(source.admin, [slotName]);
  hold(foreign.length === 0, `${product}: slots are left: ${foreign.join(', ')}`);
  // The slot first: what is stored meanwhile only moves the store further.
  const [slot] = await withSql(source.admin, undefined, (sql) =>
    sql.query<{ lsn: string }>('select restart_lsn::text as lsn from pg_replication_slots where slot_name = ?', [
      slotName,
    ]),
  );
  hold(slot !== undefined, `${product}: the slot ${slotName} is gone`);
  const [last] = await world.catalog<{ endPosition: LogPosition }>(
    'select "endPosition" from "LogSlice" where "chainId" = $1 order by "epoch" desc, "seq" desc limit 1',
    [chainId],
  );
  hold(
    last !== undefined && compareLogPositions({ lsn: slot.lsn }, { lsn: last.endPosition.lsn ?? '0/0' }) <= 0,
    `${product}: the slot stands at ${slot.lsn}, stored is ${last?.endPosition.lsn}`,
  );
}

/** With the application stopped: the window reaches from the first full to now, the latest point is all that was acknowledged, random backups open. */
export async function checkServer(
  world: ChainWorld,
  server: Protected,
  backups: readonly BackupResult[],
  random: Random,
): Promise<void> {
  const { application, noise, product, chainId } = server;
  await noise.stop();
  await application.writer.stop();
  const { writer, commits } = application;
  hold(
    writer.jumps.length === 0,
    `${product}: the source itself lost acknowledged commits: ${JSON.stringify(writer.jumps)}`,
  );
  await untilCovered(world, chainId, Date.now(), 300_000);
  const window = await readWindow(world, server);
  const [first] = await world.catalog<{ takenAt: Date }>(
    `select min("takenAt") at time zone 'UTC' as "takenAt" from "Backup" where "chainId" = $1 and "kind" = 'full' and "status" = 'completed'`,
    [chainId],
  );
  hold(
    Date.parse(window.from) === first?.takenAt.getTime(),
    `${product}: the window begins ${window.from}, its first full was taken ${first?.takenAt.toISOString()}`,
  );
  hold(
    Date.parse(window.to) >= (commits.at(-1)?.to ?? 0),
    `${product}: the window ends ${window.to}, before the last commit`,
  );
  await slicesJoin(world, server);
  const latest = await restoreCopy(world, server, {
    source: { kind: 'pitr', databaseId: server.databaseId },
    what: `${product}, the end of the log`,
  });
  hold(
    latest.found === writer.acknowledged,
    `${product}: the end of the log holds transaction ${latest.found}; acknowledged were ${writer.acknowledged}`,
  );
  for (const kind of ['full', 'incremental']) {
    const choice = backups.flatMap(({ kind: taken, holds }) =>
      taken.startsWith(kind) && holds !== null ? [holds] : [],
    );
    if (choice.length === 0) continue;
    const one = random.pick(choice);
    const { row, found } = await restoreCopy(world, server, {
      source: { kind: 'backup', backupId: one.id },
      what: `${product}, ${kind} ${one.id}`,
    });
    hold(
      found !== null && found >= one.from && found <= one.to,
      `${row.id} of ${kind} ${one.id} (${product}) holds transaction ${found}; the source stood between ${one.from} and ${one.to}`,
    );
  }
}

/** The stored slices of each epoch follow each other without a hole, by number and by position. */
async function slicesJoin(world: ChainWorld, { chainId, product }: Protected): Promise<void> {
  const rows = await world.catalog<{
    epoch: number;
    fromSeq: number;
    seq: number;
    startPosition: unknown;
    endPosition: unknown;
  }>(
    'select "epoch", "fromSeq", "seq", "startPosition", "endPosition" from "LogSlice" where "chainId" = $1 and "supersededAt" is null and "deletedAt" is null order by "epoch", "fromSeq"',
    [chainId],
  );
  for (const [index, row] of rows.entries()) {
    const before = rows[index - 1];
    if (before === undefined || before.epoch !== row.epoch) continue;
    if (before.seq + 1 !== row.fromSeq)
      throw new Broken(`${product}: slice ${row.fromSeq} of epoch ${row.epoch} follows ${before.seq}`);
  }
}

/** Of the installation as a whole, after every server was detached. */
export async function checkLeftovers(world: ChainWorld): Promise<void> {
  await checkRuns(world);
  for (const server of world.servers) await detach(world, server);
  await comesToHold(CLEAN_WITHIN_MS, async () => {
    const left = receiversBelow(world.service.home);
    return left.length === 0 ? null : `receivers are left: ${left.join(', ')}`;
  });
  await comesToHold(CLEAN_WITHIN_MS, async () => sandboxesLeft(world));
  await comesToHold(CLEAN_WITHIN_MS, () => uploadsLeft(world));
  await comesToHold(CLEAN_WITHIN_MS, () => storeAgrees(world));
  for (const server of world.servers) {
    await comesToHold(CLEAN_WITHIN_MS, async () => {
      const names = await listDatabases(server.source.admin);
      const left = names.filter((name) => name !== server.name && name !== 'busy neighbour');
      return left.length === 0 ? null : `databases are left on ${server.product}: ${left.join(', ')}`;
    });
  }
}

async function detach(world: ChainWorld, server: Protected): Promise<void> {
  const path = `/v1/policies/${server.policyId}/attachments/${server.databaseId}`;
  const answer = await world.service.request<AttachmentResource>('DELETE', path);
  hold(answer.status === 202 || answer.status === 204, `${path} was answered ${answer.status}`);
  if (server.source.account.engine !== 'postgresql') return;
  await comesToHold(CLEAN_WITHIN_MS, async () => {
    const slots = await slotsLeft(server.source.admin);
    return slots.length === 0 ? null : `slots are left on ${server.product}: ${slots.join(', ')}`;
  });
}

/** Slots of a PostgreSQL server but the `known`. Temporary ones end with their session: those of backups under way. */
export async function slotsLeft(admin: Account, known: readonly string[] = []): Promise<string[]> {
  const slots = await withSql(admin, undefined, (sql) =>
    sql.query<{ name: string }>('select slot_name as name from pg_replication_slots where not temporary'),
  );
  return slots.map(({ name }) => name).filter((name) => !known.includes(name));
}

/** Folders and servers of sandboxes: of the present worker, and processes of former ones. */
function sandboxesLeft(world: ChainWorld): string | null {
  const root = join(tmpdir(), `tidemark-sandboxes-${process.getuid?.() ?? 0}`);
  const worker = world.service.process.run().pids.worker;
  const own = readdirSync(root).filter((name) => name.startsWith(`${worker}-`));
  const folders = own.flatMap((name) => readdirSync(join(root, name)).map((one) => join(root, name, one)));
  if (folders.length > 0) return `sandboxes are left: ${folders.join(', ')}`;
  const alive = new Set(readdirSync('/proc').filter((name) => /^\d+$/.test(name)));
  const orphans = [...alive].filter((pid) => {
    const place = readCommandLine(Number(pid)).join(' ').split(`${root}/`)[1];
    const owner = place?.split('-')[0];
    return owner !== undefined && /^\d+$/.test(owner) && (!alive.has(owner) || owner === String(worker));
  });
  return orphans.length === 0 ? null : `servers of sandboxes are left: ${orphans.join(', ')}`;
}
