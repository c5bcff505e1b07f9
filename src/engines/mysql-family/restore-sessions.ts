import { setTimeout as sleep } from 'node:timers/promises';
import { TidemarkError } from '../../domain/errors.js';
import { placeOf, serverErrorNumber } from './failures.js';
import type { Session } from './session.js';

/** What a restore may have open on its target, each known by a user-level lock that ends with its connection. */
export const restoreRoles = ['control', 'load', 'reader-1', 'reader-2'] as const;
export type RestoreRole = (typeof restoreRoles)[number];

/** Below the 64 characters that a lock name may have. */
export function roleLock(restoreId: string, role: RestoreRole): string {
  return `tidemark/${restoreId}/${role}`;
}

const END_WAIT_MS = 15_000;

/**
 * Ends the connections of an earlier attempt of this restore: without it a client that was stopped could go on writing when it wakes.
 * The holder of each lock is killed and its end waited for; KILL of the same account needs no privilege.
 */
export async function endEarlierAttempts(session: Session, restoreId: string): Promise<void> {
  const until = Date.now() + END_WAIT_MS;
  for (const role of restoreRoles) {
    for (;;) {
      const holder = await session.value('SELECT IS_USED_LOCK(?)', [roleLock(restoreId, role)]);
      if (holder === null || holder === session.id) break;
      try {
        await session.raw(`KILL CONNECTION ${Number(holder)}`);
      } catch (error) {
        // 1094: it has just ended by itself.
        if (serverErrorNumber(error) !== 1094) throw error;
      }
      if (Date.now() > until) {
        throw new TidemarkError(
          'connection_lost',
          `An earlier attempt of ${restoreId} (connection ${holder}) still works on ${placeOf(session.connection)} and does not end.`,
          { object: restoreId },
        );
      }
      await sleep(50);
    }
  }
}

/** Marks this connection as the one that does `role`. */
export async function claimRole(session: Session, restoreId: string, role: RestoreRole): Promise<void> {
  const got = await session.value('SELECT GET_LOCK(?, 5)', [roleLock(restoreId, role)]);
  if (got === '1') return;
  throw new TidemarkError(
    'connection_lost',
    `Another attempt of ${restoreId} is at work on ${placeOf(session.connection)}.`,
    {
      object: restoreId,
    },
  );
}
