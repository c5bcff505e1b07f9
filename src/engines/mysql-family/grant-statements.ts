import type { DatabaseGrants } from './grants.js';
import { quoteIn, quoteName } from './quote.js';

/** Splits a line as made by readGrants: `SELECT, INSERT TO account WITH GRANT OPTION`. */
const LINE = /^(.*) (TO (?:`(?:[^`]|``)*`)(?:@`(?:[^`]|``)*`)?)( WITH GRANT OPTION)?$/s;

/** Errors of REVOKE that mean: it is not held (any more). */
export const notGrantedNumbers = new Set([1141, 1147, 1269, 1403, 1305, 1146]);

function statements(lines: readonly string[], on: string): { grant: string[]; revoke: string[] } {
  const grant: string[] = [];
  const revoke: string[] = [];
  for (const line of lines) {
    const match = LINE.exec(line);
    if (!match) continue;
    grant.push(`GRANT ${match[1]} ON ${on} ${match[2]}${match[3] ?? ''}`);
    const from = match[2]?.replace(/^TO/, 'FROM');
    if (match[1] !== 'USAGE') revoke.push(`REVOKE ${match[1]} ON ${on} ${from}`);
    if (match[3]) revoke.push(`REVOKE GRANT OPTION ON ${on} ${from}`);
  }
  return { grant, revoke };
}

/** `procedure name` -> `` PROCEDURE `db`.`name` ``. */
function routineTarget(database: string, key: string): string {
  const at = /^(?:package body|package|procedure|function)/.exec(key)?.[0] ?? '';
  return `${at.toUpperCase()} ${quoteIn(database, key.slice(at.length + 1))}`;
}

export function routineGrantStatements(
  grants: DatabaseGrants['routines'],
  database: string,
  present: ReadonlySet<string>,
): string[] {
  return [...grants].flatMap(([key, lines]) =>
    present.has(key) ? statements(lines, routineTarget(database, key)).grant : [],
  );
}

/** Statements that give a new database the grants that a fingerprint recorded, by `type name` of the object. */
export function recordedGrantStatements(
  grants: Readonly<Record<string, readonly string[]>>,
  database: string,
  literalNames: boolean,
): { grant: string[]; revoke: string[] } {
  // In a grant on a whole database `_` and `%` are wildcards, unless the server has partial_revokes.
  const pattern = literalNames
    ? database
    : database.replaceAll('\\', '\\\\').replaceAll('_', '\\_').replaceAll('%', '\\%');
  const all = { grant: [] as string[], revoke: [] as string[] };
  for (const [key, lines] of Object.entries(grants)) {
    const [, type = '', name = ''] = /^(database|table|view|sequence|.*?) (.*)$/s.exec(key) ?? [];
    const on =
      type === 'database'
        ? `${quoteName(pattern)}.*`
        : type === 'table' || type === 'view' || type === 'sequence'
          ? quoteIn(database, name)
          : routineTarget(database, key);
    const made = statements(lines, on);
    all.grant.push(...made.grant);
    all.revoke.push(...made.revoke);
  }
  return all;
}
