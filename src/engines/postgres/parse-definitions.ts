import { createHash } from 'node:crypto';
import type { Fingerprint } from '../../domain/fingerprint.js';

type DefinedObject = Fingerprint['objects'][number];

const HEADER =
  /^--\n-- Name: (?<name>.*); Type: (?<type>[A-Z][A-Z ]*); Schema: (?<schema>.*); Owner: (?<owner>.*?)(?:; Tablespace: (?<tablespace>.*))?\n--\n\n/gm;
/** The line of a definition that names the tablespace (1), and what follows it (2). Only tables, indexes and their like have one. */
export const TABLESPACE_NOTE = /\n-- tablespace: (.*)((?:\n-- access method: .*)?)$/;
const STATE_LINE = /(?:^|\n)SET (default_tablespace|default_table_access_method) = (.*);\n*$/;
const END = '\n--\n-- PostgreSQL database dump complete\n--\n';

/** Passwords live in these: kept only as a hash, so that a difference still shows. */
const secretTypes = new Set(['USER MAPPING', 'SERVER', 'SUBSCRIPTION']);

/**
 * Splits the text of `pg_dump --schema-only` into objects with definition, owner and grants. That text is written to be equal
 * after a restore (names, not OIDs; defaults left out), holds every kind of object that a dump carries, and knows new kinds as
 * soon as the tool does. Null when the text does not end with the tool's end mark.
 */
export function parseDefinitions(text: string): DefinedObject[] | null {
  const end = text.lastIndexOf(END);
  if (end < 0) return null;
  const body = text.slice(0, end);
  const heads = [...body.matchAll(HEADER)];
  let accessMethod = 'heap';
  const takeState = (part: string): string => {
    let rest = part;
    for (let line = STATE_LINE.exec(rest); line !== null; line = STATE_LINE.exec(rest)) {
      if (line[1] === 'default_table_access_method') accessMethod = line[2] ?? 'heap';
      rest = rest.slice(0, line.index);
    }
    return rest;
  };
  takeState(body.slice(0, heads[0]?.index ?? body.length));
  const objects = new Map<string, DefinedObject[]>();
  for (const [index, head] of heads.entries()) {
    const { name = '', type = '', schema = '-', owner = '-', tablespace } = head.groups ?? {};
    const methodBefore = accessMethod;
    const statement = takeState(body.slice(head.index + head[0].length, heads[index + 1]?.index ?? body.length)).trim();
    const keepsRows = type === 'TABLE' || type === 'MATERIALIZED VIEW';
    const notes = [
      ...(tablespace === undefined ? [] : [`-- tablespace: ${tablespace}`]),
      ...(keepsRows && methodBefore !== 'heap' ? [`-- access method: ${methodBefore}`] : []),
    ];
    const fullName = schema === '-' ? name : `${/[."]/.test(schema) ? JSON.stringify(schema) : schema}.${name}`;
    const isGrant = type === 'ACL' || type === 'DEFAULT ACL';
    const object: DefinedObject = {
      type,
      name: fullName,
      definition: isGrant ? '' : [normaliseDefinition(type, statement), ...notes].join('\n'),
      owner: owner === '-' || owner === '' ? null : owner,
      grants: isGrant ? splitGrants(statement) : [],
    };
    const key = `${type}\0${fullName}`;
    objects.set(key, [...(objects.get(key) ?? []), object]);
  }
  return [...objects.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([, same]) => numberSame(same));
}

/** Overloaded operators and the like share a name: told apart by a number, in the order of their definitions. */
function numberSame(same: DefinedObject[]): DefinedObject[] {
  if (same.length === 1) return same;
  return same
    .sort((a, b) => (a.definition < b.definition ? -1 : 1))
    .map((object, index) => ({ ...object, name: `${object.name} #${index + 1}` }));
}

/** One text per grant; what another grantor granted stays with the statements that name him. The order says nothing: it is the order of granting. */
function splitGrants(statements: string): string[] {
  const grants: string[] = [];
  let grantor = '';
  for (const part of statements.split(/;\n+|;$/)) {
    const statement = part.trim();
    if (statement === '') continue;
    if (statement.startsWith('SET SESSION AUTHORIZATION '))
      grantor = ` granted by ${statement.slice('SET SESSION AUTHORIZATION '.length)}`;
    else if (statement.startsWith('RESET SESSION AUTHORIZATION')) grantor = '';
    else grants.push(`${statement}${grantor}`);
  }
  return grants.sort();
}

function normaliseDefinition(type: string, statement: string): string {
  if (secretTypes.has(type)) return `sha256:${createHash('sha256').update(statement).digest('hex')}`;
  // Text that a person wrote is kept as it is; only what the server prints from its own trees has two forms.
  const isWritten = type === 'COMMENT' || (/^(FUNCTION|PROCEDURE)$/.test(type) && !statement.includes('BEGIN ATOMIC'));
  return isWritten ? statement : moveArrayCasts(statement);
}

/**
 * `x IN ('a', 'b')` on a varchar column prints as `(ARRAY['a'::character varying, …])::text[]`, and that text, when read back, prints
 * as `ARRAY[('a'::character varying)::text, …]`. Both mean the same: written in the second way, so that a restored check
 * constraint, index or view equals its source.
 */
export function moveArrayCasts(text: string): string {
  let out = text;
  let from = 0;
  for (;;) {
    const start = out.indexOf('(ARRAY[', from);
    if (start < 0) return out;
    const array = readArray(out, start + '(ARRAY['.length);
    const cast = array === null ? null : /^\)::([a-z][a-z ]*?)\[\]/.exec(out.slice(array.end, array.end + 80));
    if (array === null || cast === null) {
      from = start + 1;
      continue;
    }
    const moved = `ARRAY[${array.elements.map((element) => `(${element})::${cast[1]}`).join(', ')}]`;
    out = out.slice(0, start) + moved + out.slice(array.end + cast[0].length);
    from = start + 1;
  }
}

/** The elements of an array constructor from just behind its bracket; `end` is just behind the closing one. Null when it does not close. */
function readArray(text: string, start: number): { elements: string[]; end: number } | null {
  const elements: string[] = [];
  let depth = 0;
  let elementStart = start;
  for (let at = start; at < text.length; at++) {
    const char = text[at];
    if (char === "'" || char === '"') {
      // Inside quotes nothing counts; a doubled quote closes and opens again, which comes to the same.
      const close = text.indexOf(char, at + 1);
      if (close < 0) return null;
      at = close;
    } else if (char === '(' || char === '[') depth++;
    else if (char === ')' || (char === ']' && depth > 0)) depth--;
    else if (char === ']') {
      elements.push(text.slice(elementStart, at).trim());
      return { elements, end: at + 1 };
    } else if (char === ',' && depth === 0) {
      elements.push(text.slice(elementStart, at).trim());
      elementStart = at + 1;
    }
  }
  return null;
}
