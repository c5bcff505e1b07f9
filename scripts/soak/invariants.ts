/** What must hold whenever everything has settled. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ListMultipartUploadsCommand, S3Client } from '@aws-sdk/client-s3';
import type { ErrorCode } from '../../src/domain/errors.js';
import { isErrorCode } from '../../src/domain/errors.js';
import type { BackupResource } from '../../src/domain/schemas/backups.js';
import type { RestoreResource } from '../../src/domain/schemas/restores.js';
import { findDescendants, readCommandLine } from '../../src/platform/processes.js';
import { parseBackupKey } from '../../src/storage/layout.js';
import { Broken, comesToHold, hold } from './broken.js';
import { listDatabases, withSql } from './sql.js';
import type { Source, World } from './world.js';
import { PREFIX } from './world.js';

/** How long clean-up may go on after a run has settled: five tries with growing pauses, a worker's start among them. */
const CLEAN_WITHIN_MS = 150_000;

type List<T> = { readonly items: readonly T[]; readonly nextCursor: string | null };

export async function checkInvariants(world: World, source: Source): Promise<void> {
  await checkRuns(world);
  await comesToHold(CLEAN_WITHIN_MS, () => unknownDatabases(world, source));
  await comesToHold(CLEAN_WITHIN_MS, () => sessionsLeft(source));
  await comesToHold(CLEAN_WITHIN_MS, async () => childrenLeft(world));
  await comesToHold(CLEAN_WITHIN_MS, async () => scratchLeft(world));
  await comesToHold(CLEAN_WITHIN_MS, () => uploadsLeft(world));
  await comesToHold(CLEAN_WITHIN_MS, () => storeAgrees(world));
}

/** Everything has settled, and what failed says why by a code of the table. */
export async function checkRuns(world: Pick<World, 'service'>): Promise<void> {
  for (const kind of ['backups', 'restores'] as const) {
    for (const status of ['pending', 'in_progress'] as const) {
      const { items } = await world.service.call<List<{ id: string }>>('GET', `/v1/${kind}?status=${status}`);
      hold(items.length === 0, `${items[0]?.id} is still ${status} after its round`);
    }
  }
}

/** A failure has a code of the table, and is not `internal`, which nobody can act on. */
export function checkError(run: BackupResource | RestoreResource): ErrorCode | null {
  if (run.status === 'completed') {
    hold(run.error === null, `${run.id} is completed and has an error: ${JSON.stringify(run.error)}`);
    return null;
  }
  const { error } = run;
  if (error === null || !isErrorCode(error.code)) throw new Broken(`${run.id} is ${run.status} without a code`);
  hold(error.code !== 'internal', `${run.id} failed by an unexpected error: ${JSON.stringify(error)}`);
  return error.code;
}

/** No staging database, no half-made target: only what the soak knows. */
async function unknownDatabases(world: World, source: Source): Promise<string | null> {
  const known = new Set<string>();
  for (const subject of world.subjects.values())
    if (subject.product === source.product) for (const name of [subject.name, ...subject.aside]) known.add(name);
  const left = (await listDatabases(source.account)).filter((name) => !known.has(name));
  return left.length === 0 ? null : `databases are left on ${source.product}: ${left.join(', ')}`;
}

async function sessionsLeft(source: Source): Promise<string | null> {
  if (source.account.engine !== 'postgresql') return null;
  const rows = await withSql(source.account, undefined, (sql) =>
    sql.query<{ name: string }>(
      `select application_name as name from pg_stat_activity where application_name like 'tidemark %' or application_name like 'pg\\_%'`,
    ),
  );
  return rows.length === 0 ? null : `sessions are left on ${source.product}: ${rows.map((row) => row.name).join(', ')}`;
}

const TOOLS = /\/(pg_dump|pg_restore|psql|mysqldump|mysql|mariadb-dump|mariadb)$/;

/** Tools below the service, or left by it: those that know one of our servers by its port. */
function childrenLeft(world: World): string | null {
  const up = world.service.process.run().pids.up ?? 0;
  const ports = [...world.sources.values()].flatMap(({ server, proxy }) => [server.port, proxy.port]);
  const below = new Set(findDescendants(up).map((mark) => mark.pid));
  const left = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const line = readCommandLine(Number(name));
      if (!TOOLS.test(line[0] ?? '')) return [];
      const ours = below.has(Number(name)) || ports.some((port) => line.some((part) => part.includes(String(port))));
      return ours ? [`${name} ${line[0]}`] : [];
    });
  return left.length === 0 ? null : `child processes are left: ${left.join(', ')}`;
}

function scratchLeft(world: World): string | null {
  const root = join(world.service.home, 'scratch');
  const worker = world.service.process.run().pids.worker;
  const left = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter(
    (path) => !new RegExp(`^worker-${worker}-[^/]*(/workflow-bundle\\.js)?$`).test(path),
  );
  return left.length === 0 ? null : `scratch files are left: ${left.slice(0, 5).join(', ')}`;
}

export async function uploadsLeft(world: Pick<World, 'service'>): Promise<string | null> {
  const { s3 } = world.service.process.run();
  const client = new S3Client({
    endpoint: s3.endpoint,
    region: s3.region,
    forcePathStyle: true,
    credentials: { accessKeyId: s3.accessKeyId, secretAccessKey: s3.secretAccessKey },
  });
  try {
    const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: s3.bucket }));
    return Uploads.length === 0 ? null : `multipart uploads are left: ${Uploads.map((one) => one.Key).join(', ')}`;
  } finally {
    client.destroy();
  }
}

/** What a look into the store needs of a soak's world. */
export type StoreView = Pick<World, 'service' | 'forgotten'> & {
  readonly disk: Pick<World['disk'], 'path' | 'skipped'>;
};

/** Every manifest belongs to a completed backup and every completed backup has one with all its objects; nothing else lies in the store. */
export async function storeAgrees(world: StoreView): Promise<string | null> {
  const stored = new Map<string, { manifest: string | null; objects: Set<string> }>();
  const roots = [join(world.service.home, 's3/data', world.service.process.run().s3.bucket, PREFIX)];
  if (world.disk.skipped === null) roots.push(world.disk.path);
  for (const root of roots) {
    for (const path of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
      if (!statSync(join(root, path), { throwIfNoEntry: false })?.isFile()) continue;
      const key = parseBackupKey(path);
      if (key === null || world.forgotten.has(key.backupId)) continue;
      const entry = stored.get(key.backupId) ?? { manifest: null, objects: new Set<string>() };
      if (key.isManifest) entry.manifest = join(root, path);
      else entry.objects.add(path);
      stored.set(key.backupId, entry);
    }
  }
  const rows = await listBackups(world);
  for (const row of rows) {
    if (row.deleteRequestedAt !== null) return `${row.id} is being deleted since ${row.deleteRequestedAt}`;
    const entry = stored.get(row.id);
    stored.delete(row.id);
    if (row.status !== 'completed') {
      if (entry === undefined) continue;
      return `${row.id} is ${row.status} and has ${entry.manifest ? 'a manifest' : `${entry.objects.size} objects`}`;
    }
    if (!entry?.manifest) return `${row.id} is completed and has no manifest`;
    const manifest = JSON.parse(readFileSync(entry.manifest, 'utf8')) as {
      artifacts: { objects: { key: string; storedBytes: number }[] }[];
    };
    for (const { key } of manifest.artifacts.flatMap((artifact) => artifact.objects))
      if (!entry.objects.delete(key)) return `${row.id} lacks its object ${key}`;
    if (entry.objects.size > 0) return `${row.id} has objects of other attempts: ${[...entry.objects][0]}`;
  }
  const [unknown] = stored.keys();
  return unknown === undefined ? null : `the store has something of ${unknown}, which the catalog does not know`;
}

export async function listBackups(world: Pick<World, 'service'>): Promise<BackupResource[]> {
  const all: BackupResource[] = [];
  let cursor: string | null = null;
  do {
    const after: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const page = await world.service.call<List<BackupResource>>('GET', `/v1/backups?limit=200${after}`);
    all.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== null);
  return all;
}
