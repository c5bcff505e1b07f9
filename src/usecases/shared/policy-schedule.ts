import type { ChainSchedule } from '../../domain/chain-schedule.js';
import { weekdays } from '../../domain/chain-schedule.js';
import type { PolicyScheduleRequest } from '../../domain/schemas/policies.js';

/** A schedule as it is stored: a day that was given by its name becomes its number. */
export function toStoredSchedule({ full, incremental }: PolicyScheduleRequest): ChainSchedule {
  if (full.frequency === 'daily') return { full, incremental };
  const day = typeof full.day === 'number' ? full.day : weekdays.indexOf(full.day);
  return { full: { ...full, day }, incremental };
}
