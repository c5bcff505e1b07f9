import type { ScheduleOptions, ScheduleUpdateOptions } from '@temporalio/client';
import { ScheduleAlreadyRunning, ScheduleNotFoundError } from '@temporalio/client';
import type { UsecaseContext } from '../context.js';

/** The note carries the revision that a schedule was made from: the one text that both `list` and `update` can carry. */
export function scheduleNote(
  kind: 'plan' | 'policy',
  owner: { revision: number; name: string; status: string; pausedBy?: string | null },
): string {
  const by = owner.pausedBy === 'failures' ? 'failures' : 'a user';
  return `revision ${owner.revision} of ${kind} ${owner.name}${owner.status === 'paused' ? `, paused by ${by}` : ''}`;
}

/** Reads the revision back; null for a note that somebody changed by hand. */
export function revisionOfNote(note: string | undefined): number | null {
  const match = /^revision (\d+) of (?:plan|policy) /.exec(note ?? '');
  return match ? Number(match[1]) : null;
}

/** Makes a Temporal Schedule what is wanted, whether there is one or not. */
export async function putSchedule(
  context: UsecaseContext,
  scheduleId: string,
  options: ScheduleUpdateOptions,
): Promise<void> {
  await context.temporal.withDeadline(Date.now() + 10_000, async () => {
    try {
      await context.temporal.schedule.create({ scheduleId, ...options } as ScheduleOptions);
    } catch (error) {
      if (!(error instanceof ScheduleAlreadyRunning)) throw error;
      await context.temporal.schedule.getHandle(scheduleId).update(() => options);
    }
  });
}

/** Removes a Temporal Schedule; one that is not there is a success. */
export async function dropSchedule(context: UsecaseContext, scheduleId: string): Promise<void> {
  try {
    await context.temporal.withDeadline(Date.now() + 10_000, () =>
      context.temporal.schedule.getHandle(scheduleId).delete(),
    );
  } catch (error) {
    if (!(error instanceof ScheduleNotFoundError)) throw error;
  }
}
