import { quoteName } from './quote.js';

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

const DEFINER = '(?:DEFINER=(?:`(?:[^`]|``)*`(?:@`(?:[^`]|``)*`)?|"(?:[^"]|"")*"(?:@"(?:[^"]|"")*")?)\\s+)?';
/** What may stand between two words: MariaDB keeps comments in the head of a trigger. */
const SPACE = '(?:\\s|/\\*(?!!)[\\s\\S]*?\\*/|--\\s[^\\n]*\\n|#[^\\n]*\\n)';
/** Under ANSI_QUOTES names stand in double quotes. */
const ANY_NAME = `(?:${NAME}|"(?:[^"]|"")*")`;
const STATEMENT = new RegExp(
  `^(CREATE\\s+${DEFINER}TRIGGER${SPACE}+(?:IF${SPACE}+NOT${SPACE}+EXISTS${SPACE}+)?)(?:${ANY_NAME}${SPACE}*\\.${SPACE}*)?` +
    `(${ANY_NAME}${SPACE}+(?:BEFORE|AFTER)${SPACE}+(?:INSERT|UPDATE|DELETE)${SPACE}+ON)${SPACE}*` +
    `(?:${ANY_NAME}${SPACE}*\\.${SPACE}*)?(${ANY_NAME})${SPACE}*(?=FOR${SPACE})`,
  'i',
);

/**
 * The head of a whole statement as SHOW CREATE TRIGGER prints it: the table it names, and the same statement for a table of another name,
 * without the name of a database. Null when it is not understood.
 */
export function parseTriggerHead(statement: string): { readonly table: string; on(table: string): string } | null {
  const match = STATEMENT.exec(statement);
  if (!match) return null;
  const [all, start = '', middle = '', name = ''] = match;
  const quote = /^[`"]/.test(name) ? name.charAt(0) : '';
  return {
    table: quote === '' ? name : name.slice(1, -1).replaceAll(quote + quote, quote),
    on: (table) => `${start}${middle} ${quoteName(table)} ${statement.slice(all.length)}`,
  };
}

/**
 * A whole statement as SHOW CREATE TRIGGER prints it, without the name of its database and with the name of its table in one form:
 * MariaDB prints it as it was typed, or in backticks once the table was renamed, and both brands garble it when it does not fit the
 * character set of the client that made the trigger. A head that is not understood stays.
 */
export function plainTrigger(statement: string, table: string): string {
  return parseTriggerHead(statement)?.on(table) ?? statement;
}
