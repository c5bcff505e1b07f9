import { setTimeout as sleep } from 'node:timers/promises';
import { errorTable, isErrorCode } from '../../../src/domain/errors.js';
import type { RestoreResource } from '../../../src/domain/schemas/restores.js';
import { Broken, hold } from '../broken.js';
import { checkError } from '../invariants.js';
import { verifyLedger } from '../ledger.js';
import { dropDatabase } from '../sql.js';
import type { ChainWorld, Protected } from './chain-world.js';

export type Restored = {
  readonly row: RestoreResource;
  readonly ms: number;
  /** The transaction at which the copy stands, every row compared; null when the restore was given up for a reason that passes. */
  readonly found: number | null;
};

/** With workers and servers killed meanwhile, each of which costs it a try. */
const SETTLE_WITHIN_MS = 1_200_000;
const REACH_WITHIN_MS = 180_000;
export const LOOK_EVERY_MS = 1_000;

let copies = 0;

/** Restores under a name of its own on the source's server, reads every row and drops it again. */
export async function restoreCopy(
  world: ChainWorld,
  server: Protected,
  { source, what }: { source: Record<string, unknown>; what: string },
): Promise<Restored> {
  copies += 1;
  const database = `${server.name} copy ${copies}`;
  const { service } = world;
  const asked = await service.call<RestoreResource>('POST', '/v1/restores', {
    source,
    target: { kind: 'server', databaseId: server.databaseId, database },
  });
  const row = await service.untilSettled<RestoreResource>(
    `/v1/restores/${asked.id}`,
    ({ status }) => status !== 'pending' && status !== 'in_progress',
    SETTLE_WITHIN_MS,
    LOOK_EVERY_MS,
  );
  const ms = Date.parse(row.completedAt ?? row.createdAt) - Date.parse(row.createdAt);
  const code = checkError(row);
  if (row.status !== 'completed') {
    // What a kill breaks off for good must at least be said to be worth another try.
    hold(
      code !== null && isErrorCode(code) && errorTable[code].retryable,
      `${row.id} (${what}) ${row.status}: ${row.error?.code}: ${row.error?.message}`,
    );
    return { row, ms, found: null };
  }
  hold(row.proof === 'transport', `${row.id} (${what}) is completed with proof ${row.proof}`);
  const found = await whileReachable(`${row.id} (${what})`, () =>
    verifyLedger(server.source.account, database, server.ledger),
  );
  await whileReachable(database, () => dropDatabase(server.source.admin, database));
  return { row, ms, found };
}

/** The source is killed now and then: a lost connection says nothing; what differs does. */
export async function whileReachable<T>(what: string, work: () => Promise<T>): Promise<T> {
  const giveUpAt = Date.now() + REACH_WITHIN_MS;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const said = error instanceof Error ? error.message : String(error);
      if (/ at transaction \d+: |the ledger has no state/.test(said)) throw new Broken(`${what}: ${said}`);
      if (Date.now() > giveUpAt) throw new Broken(`${what} could not be looked at for three minutes: ${said}`);
      await sleep(500);
    }
  }
}
