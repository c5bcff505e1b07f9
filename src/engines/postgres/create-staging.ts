import { TidemarkError } from '../../domain/errors.js';
import type { Fingerprint } from '../../domain/fingerprint.js';
import type { OuterProperties } from './database-properties.js';
import { changeProperties, readOuterProperties, rolesOfProperties } from './database-properties.js';
import { dropDatabase, stagingDatabases, stagingPrefix } from './drop-database.js';
import { errorText } from './map-error.js';
import { quoteName, quoteText } from './quote.js';
import type { RestoreScope } from './restore-scope.js';

/** Encoding and locale as the source's: text sorts, folds case and has bytes as it did there. */
function creationOptions(like: Fingerprint, majorText: string): string[] {
  const { encoding, collate, ctype, provider, locale, icuRules } = like.database;
  const major = Number(majorText);
  const options: string[] = [];
  const add = (name: string, value: string | null | undefined) => {
    if (value != null && value !== '') options.push(`${name} ${quoteText(value)}`);
  };
  add('ENCODING', encoding);
  add('LC_COLLATE', collate);
  add('LC_CTYPE', ctype);
  if (provider === 'i') {
    options.push('LOCALE_PROVIDER icu');
    add('ICU_LOCALE', locale);
    if (major >= 16) add('ICU_RULES', icuRules);
  } else if (provider === 'b') {
    options.push('LOCALE_PROVIDER builtin');
    add('BUILTIN_LOCALE', locale);
  } else if (provider === 'c' && major >= 15) options.push('LOCALE_PROVIDER libc');
  return options;
}

function outerOf(like: Fingerprint): OuterProperties | null {
  return like.outer == null ? null : (JSON.parse(like.outer) as OuterProperties);
}

/** Owners and grantees must be there beforehand: pg_restore would stop half-way, or a restored table would silently belong to somebody else. */
async function refuseMissingRoles(scope: RestoreScope, like: Fingerprint): Promise<void> {
  const owners = like.objects.flatMap((object) => (object.owner === null ? [] : [object.owner]));
  const named = JSON.parse(like.database.roles ?? '[]') as string[];
  const outer = outerOf(like);
  const needed = [...new Set([...owners, ...named, ...(outer === null ? [] : rolesOfProperties(outer))])];
  if (needed.length === 0) return;
  const rows = await scope.maintenance.rows(
    `SELECT r.name FROM pg_catalog.unnest(ARRAY[${needed.map(quoteText).join(', ')}]) AS r(name)
     WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = r.name) ORDER BY 1`,
  );
  if (rows.length === 0) return;
  const statement = rows.map((row) => `CREATE ROLE ${quoteName(row.name ?? '')};`).join(' ');
  throw new TidemarkError(
    'roles_missing',
    `The backup names roles as owners or grantees that the target server lacks. Create them there, then restore again: ${statement}`,
    { statement },
  );
}

async function refuseMissingExtensions(scope: RestoreScope, like: Fingerprint): Promise<void> {
  const needed = like.objects.filter((object) => object.type === 'EXTENSION').map((object) => object.name);
  if (needed.length === 0) return;
  const rows = await scope.maintenance.rows(
    `SELECT e.name FROM pg_catalog.unnest(ARRAY[${needed.map(quoteText).join(', ')}]) AS e(name)
     WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_available_extensions a WHERE a.name = e.name) ORDER BY 1`,
  );
  if (rows.length === 0) return;
  const names = rows.map((row) => row.name).join(', ');
  throw new TidemarkError(
    'extensions_missing',
    `The backup needs extensions that the target server does not offer: ${names}. Install them on that host, then restore again.`,
    { object: names },
  );
}

/** Drops what earlier attempts left and makes an empty database for this one. Refuses before anything is written when the server cannot hold the backup. */
export async function createStaging(scope: RestoreScope, like: Fingerprint | null): Promise<string> {
  const name = `${stagingPrefix(scope.restoreId)}${scope.attempt}`;
  if (like !== null) {
    await refuseMissingRoles(scope, like);
    await refuseMissingExtensions(scope, like);
  }
  for (const left of await stagingDatabases(scope)) {
    if (Number(left.slice(stagingPrefix(scope.restoreId).length)) > scope.attempt)
      throw new TidemarkError('fenced', `A later attempt of ${scope.restoreId} already builds ${quoteName(left)}.`, {
        object: left,
      });
    await dropDatabase(scope, left);
  }
  const [target] = await scope.maintenance.rows(
    `SELECT t.spcname FROM pg_catalog.pg_database d JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace
     WHERE d.datname = ${quoteText(scope.connection.database)}`,
  );
  const options = like === null ? [] : creationOptions(like, scope.server.major);
  // A swap cannot move a database between tablespaces: the copy is built where its target lies.
  // Naming the default one would ask for a right on it that nobody needs.
  if (target?.spcname && target.spcname !== 'pg_default') options.push(`TABLESPACE ${quoteName(target.spcname)}`);
  try {
    // template0: template1 may hold objects of its own, and forbids another encoding or locale.
    await scope.maintenance.run(`CREATE DATABASE ${quoteName(name)} TEMPLATE template0 ${options.join(' ')}`);
  } catch (error) {
    const { code } = error as { code?: string };
    const text = errorText(error, scope.connection);
    if (code === '42501') {
      const statement = `ALTER ROLE ${quoteName(scope.connection.username)} CREATEDB;`;
      throw new TidemarkError(
        'privilege_missing',
        `${scope.connection.username} may not create databases: ${text} Run: ${statement}`,
        { statement },
      );
    }
    if (/locale|encoding|collation/i.test(text))
      throw new TidemarkError(
        'not_supported',
        `The target server cannot make a database with the source's locale (${options.join(', ')}): ${text}`,
        {
          object: name,
        },
      );
    throw error;
  }
  if (like !== null) await giveProperties(scope, name, like);
  return name;
}

/** The copy gets the source's owner, grants and settings; over an existing target a swap replaces them by the target's own. */
async function giveProperties(scope: RestoreScope, name: string, like: Fingerprint): Promise<void> {
  const { maintenance, connection } = scope;
  const present = await readOuterProperties(maintenance, name);
  const wanted = outerOf(like);
  if (present === null || wanted === null) return;
  for (const statement of changeProperties(name, present, wanted)) {
    try {
      await maintenance.run(statement);
    } catch (error) {
      const { code } = error as { code?: string };
      const text = `The staging database cannot be set up as the source was: ${errorText(error, connection)} Statement: ${statement};`;
      if (code === '42501')
        throw new TidemarkError('privilege_missing', text, { object: name, statement: `${statement};` });
      // Unknown or refused setting: of another major, or of a library that this server lacks.
      if (code === '42704' || code?.startsWith('22')) throw new TidemarkError('not_supported', text, { object: name });
      throw error;
    }
  }
}
