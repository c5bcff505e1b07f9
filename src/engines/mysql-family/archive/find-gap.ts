import { TidemarkError } from '../../../domain/errors.js';
import type { LogPosition } from '../../../domain/positions.js';
import { GtidSet } from '../binlog/gtid-set.js';
import type { Brand } from '../brand.js';
import type { Session } from '../session.js';
import { describePosition } from './binlog-reader.js';

/** Where the server's binary log begins today: its oldest file, and what was executed before that. Null when the role may not see it. */
export async function readLogBeginning(session: Session, brand: Brand): Promise<LogPosition | null> {
  try {
    const [first] = await session.raw('SHOW BINARY LOGS');
    const file = first?.Log_name;
    if (!file) return null;
    const gtidSet = brand.kind === 'mysql' ? await purgedGtids(session) : await listedBefore(session, file);
    return { file, filePosition: '4', ...(gtidSet ? { gtidSet } : {}) };
  } catch {
    // Only for the message: the gap is one without it, too.
    return null;
  }
}

const purgedGtids = async (session: Session) =>
  (await session.value('SELECT @@global.gtid_purged'))?.replaceAll('\n', '') ?? null;

/**
 * What a log file says was executed before it; null when it does not. MariaDB lists the last transaction of every server and domain
 * (`[0-1-25]`), MySQL a set.
 */
export async function listedBefore(session: Session, file: string): Promise<string | null> {
  const rows = await session.raw('SHOW BINLOG EVENTS IN ? LIMIT 3', [file]);
  const list = rows.find(({ Event_type: type }) => type === 'Gtid_list' || type === 'Previous_gtids')?.Info;
  return list?.replaceAll(/^\[|\]$|\n/g, '') ?? null;
}

/** The server has deleted log files that were not stored. */
export function purgedError(from: LogPosition, to: LogPosition | null, words: string): TidemarkError {
  const range = to === null ? '' : ` to the beginning of ${describePosition(to)}`;
  return new TidemarkError(
    'log_gap',
    `The server removed its binary log from ${describePosition(from)}${range} before it was stored.${lost(from, to)} The server says: ${words}`,
    { gap: { from, to } },
  );
}

/** The very transactions, where the sets of both ends tell them. */
function lost(from: LogPosition, to: LogPosition | null): string {
  if (!to?.gtidSet?.includes(':')) return '';
  const missing = GtidSet.parse(from.gtidSet ?? '').missing(GtidSet.parse(to.gtidSet));
  return missing.isEmpty ? '' : ` Lost: ${missing.toString()}.`;
}
