import type { EngineKind } from '../domain/engine-kinds.js';
import { TidemarkError } from '../domain/errors.js';
import type { PlanInput } from '../domain/recovery-plan.js';
import type { RecoveryTarget } from '../domain/recovery-target.js';
import { positionFault } from '../domain/recovery-target.js';
import { openLogState } from '../engines/mysql-family/binlog/log-state.js';

/**
 * Without the backups that hold a wanted GTID already: recovery to it has to begin before. Other points order themselves by time or LSN.
 * Throws `invalid_request` for a text that is no position of the engine.
 */
export function leaveOutLater(input: PlanInput, engine: EngineKind, target: RecoveryTarget): PlanInput {
  if (target.kind !== 'position') return input;
  const fault = positionFault(engine, target.position);
  if (fault !== null) throw new TidemarkError('invalid_request', `The position ${target.position} ${fault}.`);
  if (engine === 'postgresql') return input;
  const isLater = ({ endPosition }: PlanInput['backups'][number]) =>
    openLogState(engine, endPosition.gtidSet ?? '').holds(target.position.trim());
  const { backups } = input;
  return { ...input, backups: backups.filter((one) => !isLater(one)), leftOut: backups.filter(isLater) };
}
