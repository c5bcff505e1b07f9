import { accountName, quoteIn, splitAccount } from '../quote.js';
import type { Session } from '../session.js';

type EventState = 'ENABLE' | 'DISABLE' | 'DISABLE ON REPLICA';
type EventRow = {
  readonly schema: string;
  readonly name: string;
  readonly status: string;
  readonly definer: string;
};

async function readEvents(session: Session): Promise<EventRow[]> {
  const rows = await session.rows(
    'SELECT EVENT_SCHEMA AS event_schema, EVENT_NAME AS name, STATUS AS status, DEFINER AS definer FROM information_schema.EVENTS',
  );
  return rows.map((row) => ({
    schema: row.event_schema ?? '',
    name: row.name ?? '',
    status: row.status ?? '',
    definer: row.definer ?? '',
  }));
}

const onReplica = (status: string) => /^(SLAVESIDE|REPLICA_SIDE)_DISABLED$/.test(status);
const keyOf = (schema: string, name: string) => `${schema.toLowerCase()}\u0000${name.toLowerCase()}`;

/** Quoted parts and comments become blanks: what is left are words of the statement itself. */
const withoutQuotes = (text: string) =>
  text.replace(/'(?:[^'\\]|\\[\s\S]|'')*'|"(?:[^"\\]|\\[\s\S]|"")*"|\/\*(?!!)[\s\S]*?\*\/|(?:--\s|#)[^\n]*/g, ' ');

const NAME = '(?:`(?:[^`]|``)*`|[\\w$\\u0080-\\uffff]+)';
const HEAD = new RegExp(
  `\\bEVENT\\s+(?:IF\\s+NOT\\s+EXISTS\\s+)?(${NAME})(?:\\s*\\.\\s*(${NAME}))?\\s+([\\s\\S]*)$`,
  'i',
);
const plain = (name: string) => (name.startsWith('`') ? name.slice(1, -1).replaceAll('``', '`') : name);

type Change = { readonly key: string; readonly renamedTo: string | null; readonly state: EventState | null };

/** What a CREATE or ALTER EVENT says about the state; null when it is not understood. Before its body only the schedule stands. */
export function readEventStatement(statement: { readonly database: string; readonly text: string }): Change | null {
  const head = HEAD.exec(withoutQuotes(statement.text));
  if (!head) return null;
  const [, first = '', second, rest = ''] = head;
  const schema = second === undefined ? statement.database : plain(first);
  const clauses = rest.split(/\bDO\b/i)[0] ?? '';
  const state: EventState | null = /\bDISABLE\s+ON\s+(?:SLAVE|REPLICA)\b/i.test(clauses)
    ? 'DISABLE ON REPLICA'
    : /\bDISABLE\b/i.test(clauses)
      ? 'DISABLE'
      : /\bENABLE\b/i.test(clauses) || /^\s*CREATE\b/i.test(statement.text)
        ? 'ENABLE'
        : null;
  const renamed = new RegExp(`\\bRENAME\\s+TO\\s+(${NAME})(?:\\s*\\.\\s*(${NAME}))?`, 'i').exec(clauses);
  const [, to = '', toName] = renamed ?? [];
  return {
    key: keyOf(schema, plain(second ?? first)),
    renamedTo: renamed ? (toName === undefined ? keyOf(schema, plain(to)) : keyOf(plain(to), plain(toName))) : null,
    state,
  };
}

/** State of every event, to be compared with after a replay. */
export async function rememberEvents(session: Session): Promise<Map<string, EventState>> {
  const states = new Map<string, EventState>();
  for (const { schema, name, status } of await readEvents(session)) {
    const state = status === 'ENABLED' ? 'ENABLE' : onReplica(status) ? 'DISABLE ON REPLICA' : 'DISABLE';
    states.set(keyOf(schema, name), state);
  }
  return states;
}

/**
 * Gives events the state they had on the source. A server that applies a log disables every event that is created or altered in it,
 * whatever the statement says, so that the states are followed through the statements themselves.
 */
export async function restoreEventStates(
  session: Session,
  before: ReadonlyMap<string, EventState>,
  statements: readonly { readonly database: string; readonly text: string }[],
): Promise<void> {
  if (statements.length === 0) return;
  const states = new Map(before);
  for (const statement of statements) {
    const change = readEventStatement(statement);
    if (change === null) continue;
    const state = change.state ?? states.get(change.key);
    if (change.renamedTo !== null) states.delete(change.key);
    if (state !== undefined) states.set(change.renamedTo ?? change.key, state);
  }
  for (const { schema, name, status, definer } of await readEvents(session)) {
    const wanted = states.get(keyOf(schema, name));
    if (!onReplica(status) || wanted === undefined || wanted === 'DISABLE ON REPLICA') continue;
    const { user, host } = splitAccount(definer);
    // Without the definer the event would become ours.
    await session.rows(
      `ALTER DEFINER = ${accountName(user, host)} EVENT ${quoteIn(schema, name)} ${wanted}`,
      [],
      `Setting the state of event ${name} failed`,
    );
  }
}
