import { createTransport } from 'nodemailer';
import { TidemarkError } from '../domain/errors.js';
import { hideSecrets } from '../platform/hide-secrets.js';
import type { Mail } from './compose-mail.js';

export type MailServer = {
  /** smtp:// or smtps://, with credentials if it wants them; undefined: none is configured. */
  readonly url: string | undefined;
  readonly from: string;
};

/** A server that accepts connections and says nothing must not hold the sender. */
const TIMEOUTS = { connectionTimeout: 10_000, greetingTimeout: 10_000, socketTimeout: 30_000, dnsTimeout: 10_000 };

/**
 * Hands one mail to the mail server and resolves once that has taken it over. Throws `mail_failed` for what may pass by itself, or once the
 * operator has mended the server's address or sign-in (also when there is none), `mail_refused` when it said no to this mail for good.
 */
export async function sendMail({ url, from }: MailServer, mail: Mail): Promise<void> {
  if (url === undefined) {
    throw new TidemarkError('mail_failed', 'No mail server is configured: set SMTP_URL and start again.');
  }
  // One connection per mail: they are rare, and a kept one would be closed by the server meanwhile.
  const transport = createTransport({ url, ...TIMEOUTS, disableFileAccess: true, disableUrlAccess: true });
  try {
    await transport.sendMail({
      from,
      to: mail.to,
      subject: mail.subject,
      text: mail.text,
      messageId: mail.messageId,
      headers: {
        // No answers from holiday responders.
        'Auto-Submitted': 'auto-generated',
        'X-Tidemark-Event': mail.event,
      },
    });
  } catch (error) {
    throw toMailError(error, url, mail.to);
  } finally {
    transport.close();
  }
}

/** As nodemailer reports what went wrong on the way. */
type SmtpError = { readonly code?: unknown; readonly responseCode?: unknown; readonly response?: unknown };

function toMailError(error: unknown, url: string, to: string): TidemarkError {
  const { code, responseCode, response } = (error ?? {}) as SmtpError;
  const { hostname, port, username, password } = new URL(url);
  const place = `${hostname}${port === '' ? '' : `:${port}`}`;
  const secrets = [password, decodeURIComponent(password), decodeURIComponent(username)];
  const said = typeof response === 'string' ? hideSecrets(response, secrets).slice(0, 300) : null;
  const answer = said === null ? '' : ` It said: ${said}`;
  if (code === 'EAUTH') {
    return new TidemarkError('mail_failed', `The mail server ${place} refused the sign-in.${answer}`);
  }
  if (typeof responseCode === 'number' && responseCode >= 500) {
    return new TidemarkError('mail_refused', `The mail server ${place} refused the mail to ${to}.${answer}`, {
      object: to,
    });
  }
  const why = typeof responseCode === 'number' ? 'did not take the mail now' : 'does not answer';
  return new TidemarkError('mail_failed', `The mail server ${place} ${why}.${answer}`, {}, { cause: error });
}
