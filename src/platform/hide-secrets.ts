/** Put in place of a secret wherever text leaves the process. */
export const HIDDEN = '[hidden]';

/** Shorter strings are not sought: hiding every "a" would destroy the text and protect nothing. */
const MIN_SECRET_LENGTH = 4;

/**
 * Replaces each secret in `text`, also where it stands URL-encoded, JSON-escaped or base64-encoded, and the password part of any
 * `scheme://user:password@host`.
 */
export function hideSecrets(text: string, secrets: readonly string[]): string {
  let out = text.replace(/\b([a-z][a-z0-9+.-]*:\/\/[^\s:/@]*):[^\s/@]+@/gi, `$1:${HIDDEN}@`);
  const forms = new Set<string>();
  for (const secret of secrets) {
    if (secret.length < MIN_SECRET_LENGTH) continue;
    forms.add(secret);
    forms.add(encodeURIComponent(secret));
    forms.add(JSON.stringify(secret).slice(1, -1));
    forms.add(Buffer.from(secret, 'utf8').toString('base64').replace(/=+$/, ''));
  }
  // Longest first: a secret that contains another must go as a whole.
  for (const form of [...forms].sort((a, b) => b.length - a.length)) out = out.split(form).join(HIDDEN);
  return out;
}
