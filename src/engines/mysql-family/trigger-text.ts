const NAME = '(?:`(?:[^`]|``)*`|[0-9A-Za-z$_\\u0080-\\uffff]+)';
const HEAD = new RegExp(
  `^(TRIGGER\\s+(?:IF\\s+NOT\\s+EXISTS\\s+)?)((?:${NAME}\\s*\\.\\s*)?)(${NAME}\\s+(?:BEFORE|AFTER)\\s+(?:INSERT|UPDATE|DELETE)\\s+ON\\s+)((?:${NAME}\\s*\\.\\s*)?)(${NAME}\\s)`,
  'i',
);

/**
 * Takes the database's name out of the head of a trigger (`trigger shop.tg before insert on shop.t …`). MariaDB keeps the text as it was
 * typed, and so would create the trigger in the live database when it is loaded elsewhere. `text` begins with the word TRIGGER.
 * Null when the head is not understood.
 */
export function withoutDatabaseName(text: string): string | null {
  return HEAD.test(text) ? text.replace(HEAD, '$1$3$5') : null;
}

const DEFINER = /^(CREATE (?:DEFINER=`(?:[^`]|``)*`(?:@`(?:[^`]|``)*`)? )?)/;

/** As `withoutDatabaseName`, for a whole statement as SHOW CREATE TRIGGER prints it; a head that is not understood stays. */
export function plainTrigger(statement: string): string {
  const prefix = DEFINER.exec(statement)?.[1] ?? '';
  const rest = withoutDatabaseName(statement.slice(prefix.length));
  return rest === null ? statement : prefix + rest;
}
