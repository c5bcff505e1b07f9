import { TidemarkError } from '../../domain/errors.js';
import type { ObjectDefinition } from './definitions.js';
import { quoteIn, quoteText } from './quote.js';
import { parseTriggerHead } from './trigger-text.js';

/** One table (or sequence) and its new place: `[database, name, database, name]`. */
export type Move = readonly [string, string, string, string];

/** Names that a table of the former or of the new content has inside the target's database while applications are shut out; a number follows. */
export const HIDDEN_OUT = 'tidemark__out_';
export const HIDDEN_IN = 'tidemark__in_';

/** The way back, last first: names of foreign keys are unique in a database, so that two contents are never in one at the same time. */
export const back = (moves: readonly Move[]): Move[] => moves.map(([a, b, c, d]): Move => [c, d, a, b]).reverse();

/** All of them or none, however many: MySQL and MariaDB undo the whole statement when one of them cannot be renamed. */
export function rename(moves: readonly Move[]): string {
  return `RENAME TABLE ${moves.map(([from, table, to, name]) => `${quoteIn(from, table)} TO ${quoteIn(to, name)}`).join(', ')}`;
}

const count = (database: string, condition: string) =>
  `(SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = ${quoteText(database)} AND ${condition})`;
const named = (name: string) => `BINARY TABLE_NAME = ${quoteText(name)}`;
const hidden = (prefix: string) => `LEFT(TABLE_NAME, ${prefix.length}) = ${quoteText(prefix)}`;

/** The tables moved all at once, so that where one of them is tells about all. */
export function movedProbe(moves: readonly Move[]): string {
  const [database, name] = moves.at(-1) ?? ['', ''];
  return `SELECT ${count(database, named(name))} = 0`;
}

export function hiddenProbe(moves: readonly Move[]): string {
  return `SELECT ${count(moves[0]?.[2] ?? '', hidden(HIDDEN_OUT))} = ${moves.length}`;
}

/** Nothing hidden is left, and what came is not where it came from. */
export function shownProbe(moves: readonly Move[], from: string): string {
  const [database, , , name] = moves[0] ?? ['', '', '', ''];
  return `SELECT ${count(database, hidden(HIDDEN_IN))} = 0 AND ${count(from, named(name))} = 0`;
}

/** The same triggers on tables that have other names now. `moves`: from the name in the trigger's text to the present one. */
export function onHidden(triggers: readonly ObjectDefinition[], moves: readonly Move[]): ObjectDefinition[] {
  const names = new Map(moves.map(([, table, , name]) => [table, name]));
  return triggers.map((trigger) => {
    const head = parseTriggerHead(trigger.statement);
    const name = head === null ? undefined : names.get(head.table);
    if (head === null || name === undefined) {
      throw new TidemarkError(
        'not_supported',
        `The name of the table is not understood in the trigger ${trigger.name}. Create it anew as CREATE TRIGGER … ON \`table\` FOR EACH ROW …, then try again.`,
        { object: trigger.name },
      );
    }
    return { ...trigger, statement: head.on(name) };
  });
}

const WAY = '-- tidemark-way ';

/**
 * A statement of our own: applications that make missing tables at their start (migrations) may have done so while the true ones were
 * hidden. Such a table stays, under another name; without this neither the swap nor its undoing could go on.
 */
export function makeWay(moves: readonly Move[]): string {
  return `${WAY}${JSON.stringify({ database: moves[0]?.[0] ?? '', names: moves.map(([, table]) => table) })}`;
}

/** Null for any other statement. */
export function parseWay(text: string): { readonly database: string; readonly names: readonly string[] } | null {
  return text.startsWith(WAY) ? JSON.parse(text.slice(WAY.length)) : null;
}
