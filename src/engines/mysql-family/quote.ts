/** An identifier in backticks; backticks inside are doubled, so that every name is safe in a statement. */
export function quoteName(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``;
}

/** `schema`.`name`, both quoted. */
export function quoteIn(schema: string, name: string): string {
  return `${quoteName(schema)}.${quoteName(name)}`;
}

/** A string literal. Valid under every sql_mode: quotes are doubled, and a text with a backslash becomes a hex literal, which NO_BACKSLASH_ESCAPES cannot change. */
export function quoteText(text: string): string {
  if (text.includes('\\') || text.includes('\0')) return `_utf8mb4 0x${Buffer.from(text, 'utf8').toString('hex')}`;
  return `'${text.replaceAll("'", "''")}'`;
}

/** `'user'@'host'` as one text, from its two parts. */
export function accountName(user: string, host: string): string {
  return `${quoteName(user)}@${quoteName(host)}`;
}

/** Splits `user@host` as information_schema prints a definer: the host begins after the last `@`. */
export function splitAccount(text: string): { user: string; host: string } {
  const at = text.lastIndexOf('@');
  return at < 0 ? { user: text, host: '' } : { user: text.slice(0, at), host: text.slice(at + 1) };
}
