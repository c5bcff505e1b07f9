const NAME = '(?:`(?:[^`]|``)*`|[0-9A-Za-z$_\\u0080-\\uffff]+)';
const HEAD = new RegExp(
  `^(TRIGGER\\s+(?:IF\\s+NOT\\s+EXISTS\\s+)?)((?:${NAME}\\s*\\.\\s*)?)(${NAME}\\s+(?:BEFORE|AFTER)\\s+(?:INSERT|UPDATE|DELETE)\\s+ON\\s+)((?:${NAME}\\s*\\.\\s*)?)(${NAME}\\s)`,
  'i',
);

/**
 * The head of a trigger without the name of its database (`trigger shop.tg before insert on shop.t …`): MariaDB keeps the text as it was
 * typed, and so would create the trigger in the live database when it is loaded elsewhere. `text` begins with the word TRIGGER;
 * `length` is what `text` of the result stands for. Null when the head is not understood.
 */
export function plainHead(text: string): { readonly length: number; readonly text: string } | null {
  const match = HEAD.exec(text);
  if (!match) return null;
  const [all, word = '', , name = '', , table = ''] = match;
  return { length: all.length, text: word + name + table };
}

const DEFINER = /^(CREATE (?:DEFINER=`(?:[^`]|``)*`(?:@`(?:[^`]|``)*`)? )?)/;

/** A whole statement as SHOW CREATE TRIGGER prints it, without the name of its database; a head that is not understood stays. */
export function plainTrigger(statement: string): string {
  const prefix = DEFINER.exec(statement)?.[1] ?? '';
  const rest = statement.slice(prefix.length);
  const head = plainHead(rest);
  return head === null ? statement : prefix + head.text + rest.slice(head.length);
}
