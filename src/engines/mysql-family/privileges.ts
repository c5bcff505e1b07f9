import type { Session } from './session.js';

/** One GRANT of the role: privileges on everything (`schema: null`), on databases that match a pattern, or on one object. */
export type HeldGrant = {
  readonly privileges: ReadonlySet<string>;
  /** Database pattern with `%`, `_` and `\` escapes as stored; null for `*.*`. */
  readonly schema: string | null;
  /** Table or routine; null for all. */
  readonly object: string | null;
  readonly revoked: boolean;
};

const SCOPE =
  / ON (?:(?:TABLE|FUNCTION|PROCEDURE|PACKAGE(?: BODY)?) )?(\*|`(?:[^`]|``)*`)\.(\*|`(?:[^`]|``)*`) (?:TO|FROM) /;
const unquote = (text: string) => text.slice(1, -1).replaceAll('``', '`');

/** Splits at commas outside parentheses: `SELECT (`a`, `b`), INSERT`. */
function splitPrivileges(text: string): string[] {
  return text
    .replace(/\([^)]*\)/g, (columns) => columns.replaceAll(',', '\u0000'))
    .split(',')
    .map((part) => part.trim().toUpperCase());
}

/** Reads one line of SHOW GRANTS; null for role memberships and the like. */
export function parseGrant(line: string): HeldGrant | null {
  const verb = /^(GRANT|REVOKE) /.exec(line);
  const scope = SCOPE.exec(line);
  if (!verb || !scope) return null;
  const schema = scope[1] === '*' ? null : unquote(scope[1] ?? '');
  const object = scope[2] === '*' ? null : unquote(scope[2] ?? '');
  const list = splitPrivileges(line.slice(verb[0].length, scope.index));
  return { privileges: new Set(list), schema, object, revoked: verb[1] === 'REVOKE' };
}

/** What the connected role may do, its active roles included. */
export async function readPrivileges(session: Session): Promise<HeldGrant[]> {
  const lines: string[] = [];
  const collect = async (sql: string) => {
    for (const row of await session.raw(sql)) lines.push(Object.values(row)[0] ?? '');
  };
  await collect('SHOW GRANTS');
  const role = await session.value('SELECT CURRENT_ROLE()').catch(() => null);
  if (role && role !== 'NONE') {
    // MySQL shows what roles bring only when they are named, MariaDB has one role at a time.
    const sql =
      session.connection.engine === 'mysql'
        ? `SHOW GRANTS FOR CURRENT_USER() USING ${role}`
        : 'SHOW GRANTS FOR CURRENT_ROLE';
    await collect(sql).catch(() => {});
  }
  return lines.flatMap((line) => parseGrant(line) ?? []);
}

/** True when a pattern of the grant tables matches a database name: `_` and `%` are wildcards unless escaped. */
export function matchesPattern(pattern: string, name: string): boolean {
  const source = pattern.replace(/\\([_%\\])|[_%]|[.*+?^${}()|[\]\\]/g, (all, escaped: string | undefined) => {
    if (escaped !== undefined) return escaped === '\\' ? '\\\\' : escaped;
    if (all === '%') return '.*';
    return all === '_' ? '.' : `\\${all}`;
  });
  return new RegExp(`^${source}$`, 's').test(name);
}

/** True when the role holds the privilege on all of the database (`schema`), or on the whole server when `schema` is null. */
export function holdsPrivilege(grants: readonly HeldGrant[], privilege: string, schema: string | null): boolean {
  const names = (grant: HeldGrant) => grant.privileges.has(privilege) || grant.privileges.has('ALL PRIVILEGES');
  const revoked = grants.some((grant) => grant.revoked && grant.schema === schema && schema !== null && names(grant));
  return grants.some((grant) => {
    if (grant.revoked || grant.object !== null || !names(grant)) return false;
    if (grant.schema === null) return !revoked;
    return schema !== null && matchesPattern(grant.schema, schema);
  });
}
