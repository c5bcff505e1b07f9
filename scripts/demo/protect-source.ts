import type { ApiClient } from '../lib/api-client.js';
import type { DemoSource } from './sources.js';

export type DemoResult = {
  readonly title: string;
  readonly databaseId: string;
  readonly backupId: string;
  readonly storedBytes: number;
  readonly seconds: number;
  readonly place: string;
  readonly restoredName: string;
  readonly tables: number;
  readonly rows: string;
  readonly equal: boolean;
  readonly proof: string | null;
};

type RecordedError = { code: string; message: string } | null;
type Backup = {
  id: string;
  status: string;
  storedBytes: number | null;
  startedAt: string;
  completedAt: string;
  error: RecordedError;
};
type Restore = {
  id: string;
  status: string;
  error: RecordedError;
  proof: string | null;
  comparison: { equal: boolean; tables: number; rows: string } | null;
};

/** Registers one source, plans it, backs it up, restores it under another name: all through the public API. */
export async function protectSource(
  api: ApiClient,
  source: DemoSource,
  destinationId: string,
  say: (line: string) => void,
): Promise<DemoResult> {
  const database = await api.post<{ id: string }>('/v1/databases', {
    name: source.name,
    engine: source.server.engine,
    host: source.server.host,
    port: source.server.port,
    username: source.username,
    password: source.password,
    database: source.database,
  });
  const plan = await api.post<{ id: string }>('/v1/plans', {
    name: `${source.name} nightly`,
    databaseId: database.id,
    destinationId,
    schedule: { type: 'cron', expression: '0 3 * * *', timezone: 'UTC' },
    retention: { count: 7 },
  });

  const asked = await api.post<Backup>('/v1/backups', { planId: plan.id, label: 'demo' });
  const backup = await api.untilSettled<Backup>(`/v1/backups/${asked.id}`);
  if (backup.status !== 'completed')
    throw new Error(`${source.title}: the backup ${backup.status}: ${backup.error?.message}`);
  const files = await api.get<{ location: string; items: { objects?: { key: string }[] }[] }>(
    `/v1/backups/${backup.id}/files`,
  );
  say(`  ${source.title}: backup ${backup.id} completed`);

  const restoredName = `${source.database}_restored`;
  const started = await api.post<Restore>('/v1/restores', {
    source: { kind: 'backup', backupId: backup.id },
    target: { kind: 'server', databaseId: database.id, database: restoredName },
  });
  const restore = await api.untilSettled<Restore>(`/v1/restores/${started.id}`);
  if (restore.status !== 'completed')
    throw new Error(`${source.title}: the restore ${restore.status}: ${restore.error?.message}`);
  say(`  ${source.title}: restored as ${restoredName}, compared ${restore.comparison?.equal ? 'equal' : 'DIFFERENT'}`);

  return {
    title: source.title,
    databaseId: database.id,
    backupId: backup.id,
    storedBytes: backup.storedBytes ?? 0,
    seconds: (Date.parse(backup.completedAt) - Date.parse(backup.startedAt)) / 1000,
    place: files.location,
    restoredName,
    tables: restore.comparison?.tables ?? 0,
    rows: restore.comparison?.rows ?? '0',
    equal: restore.comparison?.equal === true,
    proof: restore.proof,
  };
}
