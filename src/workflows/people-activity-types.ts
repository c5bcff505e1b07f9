import type { RunError } from './activity-types.js';

/** What tells people, and what goes on until a user's server is rid of us. Rules of activity-types.ts. */
export interface PeopleActivities {
  /** Sends the mail of an event, unless it is sent already. */
  sendNotification(input: { notificationId: string }): Promise<{ sent: boolean }>;
  /** No further try is made. */
  noteNotificationFailed(input: { notificationId: string; error: RunError }): Promise<void>;
  /** Tries once; why it did not come about stands on the row. */
  cleanUpSource(input: { cleanupId: string }): Promise<{ done: boolean }>;
}
