import { CancellationScope, isCancellation } from '@temporalio/workflow';
import { activities, withSummary } from './activity-options.js';
import { closeAsFailed, toRunError } from './failures.js';
import type { NotifyInput } from './messages.js';
import { Story } from './story.js';

/** Sends the mail of one event, and goes on trying for days while the mail server is away. The row says how it ended. */
export async function notify({ notificationId }: NotifyInput): Promise<void> {
  const story = new Story();
  try {
    const { sent } = await activities.mail.sendNotification.executeWithOptions(
      withSummary('mail', `Mail of ${notificationId}`),
      [{ notificationId }],
    );
    story.tell(sent ? 'Sent' : 'Nothing to send: it is sent, or given up');
    story.status('completed');
  } catch (error) {
    const reason = toRunError(error);
    // Also when it was cancelled: a row that stays pending would be started again.
    await CancellationScope.nonCancellable(() =>
      activities.catalog.noteNotificationFailed({ notificationId, error: reason }),
    );
    story.tell(`Given up: ${reason.message}`);
    story.status('failed');
    if (isCancellation(error)) throw error;
    throw closeAsFailed(reason);
  }
}
