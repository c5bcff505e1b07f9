import type { ErrorRow } from './row.js';
import { row } from './row.js';

/** Why a mail is not sent. */
export const notificationErrors = {
  mail_failed: row(
    422,
    true,
    'operator',
    'The mail server did not take the message',
    'Check SMTP_URL; the message is retried.',
  ),
  mail_refused: row(
    422,
    false,
    'operator',
    'The mail server refused the message for good',
    'Correct the e-mail address of the user, or what the mail server says about the sender (SMTP_FROM).',
  ),
} as const satisfies Record<string, ErrorRow>;
