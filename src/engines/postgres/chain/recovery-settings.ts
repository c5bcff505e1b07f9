import { TidemarkError } from '../../../domain/errors.js';
import type { RecoveryTarget } from '../../../domain/recovery-target.js';
import { toMicros } from '../../shared/microseconds.js';
import { parseLsn } from '../archive/wal-names.js';

const RFC3339 = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/;

/** RFC 3339 as microseconds since 1970. Throws `invalid_request` for another text. */
export const toMicroseconds = (time: string): bigint => toMicros(time).micros;

/**
 * The settings that stop recovery at `target` (none for the end of the log). The server rounds a time to microseconds, which would let in
 * a commit that is later than the time meant: finer digits are cut off instead, and then nothing can lie exactly there.
 */
export function recoveryTargetSettings(target: RecoveryTarget): Record<string, string> {
  switch (target.kind) {
    case 'end_of_backup':
      return { recovery_target: 'immediate' };
    case 'latest':
      return {};
    case 'position':
      return {
        recovery_target_lsn: target.position,
        recovery_target_inclusive: target.before ? 'off' : 'on',
      };
    case 'time': {
      const us = toMicroseconds(target.time);
      const [, , fraction = ''] = RFC3339.exec(target.time) ?? [];
      const isFiner = /[1-9]/.test(fraction.slice(6));
      const seconds = new Date(Number(us / 1000n)).toISOString().slice(0, 19).replace('T', ' ');
      return {
        // Not `Z`: the server reads its configuration before it knows names of zones.
        recovery_target_time: `${seconds}.${String(us % 1_000_000n).padStart(6, '0')}+00`,
        recovery_target_inclusive: target.before && !isFiner ? 'off' : 'on',
      };
    }
  }
}

/** An LSN that a person gave. Throws `invalid_request` for another text. */
export function readPosition(position: string): bigint {
  try {
    return parseLsn(position);
  } catch {
    throw new TidemarkError(
      'invalid_request',
      `${JSON.stringify(position)} is not a log position of PostgreSQL, such as 16/B374D848.`,
    );
  }
}

/** Refuses a target that lies before the end of the backup: the server would stop at the backup's end, with later rows, and say nothing. */
export function requireAfterBackup(
  target: RecoveryTarget,
  backup: { readonly endLsn: string; readonly takenAt: string | null },
): void {
  const refuse = (point: string, end: string) => {
    throw new TidemarkError(
      'outside_window',
      `${point} lies before the end of the backup (${end}); an earlier backup is needed.`,
    );
  };
  if (target.kind === 'position' && readPosition(target.position) < parseLsn(backup.endLsn))
    refuse(target.position, backup.endLsn);
  if (target.kind === 'time' && backup.takenAt !== null && toMicroseconds(target.time) < toMicroseconds(backup.takenAt))
    refuse(target.time, backup.takenAt);
}
