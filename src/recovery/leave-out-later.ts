import type { EngineKind } from '../domain/engine-kinds.js';
import type { PlanInput } from '../domain/recovery-plan.js';
import type { RecoveryTarget } from '../domain/recovery-target.js';
import { openLogState } from '../engines/mysql-family/binlog/log-state.js';

/**
 * Without the backups that hold a wanted GTID already: recovery to it has to begin before. Other points order themselves by time or LSN.
 * Throws on a text that is no GTID.
 */
export function leaveOutLater(input: PlanInput, engine: EngineKind, target: RecoveryTarget): PlanInput {
  if (engine === 'postgresql' || target.kind !== 'position') return input;
  const backups = input.backups.filter(
    ({ endPosition }) => !openLogState(engine, endPosition.gtidSet ?? '').holds(target.position),
  );
  return { ...input, backups };
}
