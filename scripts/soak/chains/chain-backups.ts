import type { BackupResource } from '../../../src/domain/schemas/backups.js';
import { hold } from '../broken.js';
import { checkError } from '../invariants.js';
import type { Random } from '../random.js';
import type { ChainWorld, Protected } from './chain-world.js';
import { LOOK_EVERY_MS } from './restore-copy.js';

export type BackupResult = {
  readonly kind: string;
  readonly status: string;
  readonly code: string | null;
  /** Of a completed one: the application's transactions that it may end at. */
  readonly holds: { readonly id: string; readonly from: number; readonly to: number } | null;
};

const SETTLE_WITHIN_MS = 1_200_000;

/** A full or an incremental, asked for by a person; null when another run is in the way. */
export async function takeChainBackup(
  world: ChainWorld,
  server: Protected,
  random: Random,
): Promise<BackupResult | null> {
  const { service } = world;
  const from = server.application.writer.acknowledged;
  const kind = random.chance(0.7) ? 'incremental' : 'full';
  const asked = await service.request<BackupResource & { code?: string }>('POST', '/v1/backups', {
    databaseId: server.databaseId,
    kind,
  });
  if (asked.status === 409 && asked.body.code === 'run_in_progress') return null;
  hold(
    asked.status === 202,
    `${server.product}: a manual ${kind} was answered ${asked.status} ${JSON.stringify(asked.body)}`,
  );
  const row = await service.untilSettled<BackupResource>(
    `/v1/backups/${asked.body.id}`,
    ({ status }) => status !== 'pending' && status !== 'in_progress',
    SETTLE_WITHIN_MS,
    LOOK_EVERY_MS,
  );
  const code = checkError(row);
  const said = row.fellBack === null ? row.kind : `${row.kind} in place of an incremental (${row.fellBack.code})`;
  const completed = row.status === 'completed';
  return {
    kind: said,
    status: row.status,
    code,
    holds: completed ? { id: row.id, from, to: server.application.writer.sent } : null,
  };
}
