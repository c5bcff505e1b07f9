import { beginSending, noteGivenUp, noteSendError, noteSent } from '../../catalog/runs/notification-run.js';
import { toRecordedError } from '../../domain/errors.js';
import { composeMail } from '../../notify/compose-mail.js';
import { sendMail } from '../../notify/send-mail.js';
import type { Activities } from '../../workflows/activity-types.js';
import type { ActivityDeps } from '../deps.js';
import { runShort } from '../run-step.js';

/**
 * Sends the mail of an event. A row that says `sent` is never sent again; a worker that dies between the mail server's answer and the row
 * lets it be sent twice, with the same Message-ID: no event is lost, and mail readers show one.
 */
export function sendNotification(deps: ActivityDeps): Activities['sendNotification'] {
  return ({ notificationId }) =>
    runShort(deps, 'send-notification', async () => {
      const row = await beginSending(deps.catalog, notificationId);
      if (row === null) return { sent: false };
      const { mail } = deps.options;
      const body = row.body as { what: string; why: string; nextStep: string };
      try {
        await sendMail(mail, {
          to: row.recipient,
          messageId: row.messageId,
          event: row.event,
          ...composeMail({ ...row, ...body }, mail.publicUrl),
        });
      } catch (error) {
        await noteSendError(deps.catalog, row.id, toRecordedError(error));
        throw error;
      }
      await noteSent(deps.catalog, row.id);
      return { sent: true };
    });
}

export function noteNotificationFailed(deps: ActivityDeps): Activities['noteNotificationFailed'] {
  return ({ notificationId, error }) =>
    runShort(deps, 'note-notification', () => noteGivenUp(deps.catalog, notificationId, error));
}
