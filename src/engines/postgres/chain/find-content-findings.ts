import { access } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { CheckFinding, DatabaseConnection, EngineContext } from '../../engine.js';
import { connect } from '../connect.js';
import { errorText } from '../map-error.js';
import { listNames } from '../quote.js';

type Library = { readonly name: string; readonly database: string; readonly ofType: boolean };

/** What the databases hold that a sandbox must have, or cannot bring back. */
type Content = { readonly unlogged: string[]; readonly libraries: Library[]; readonly unseen: string[] };

const QUERY = `
  SELECT (SELECT pg_catalog.json_agg(c.oid::regclass::text) FROM pg_catalog.pg_class c
      WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'u')::text AS unlogged,
    (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(p.probin, EXISTS (SELECT 1 FROM pg_catalog.pg_type t
        JOIN pg_catalog.pg_proc f ON f.oid = t.typoutput JOIN pg_catalog.pg_attribute a ON a.atttypid IN (t.oid, t.typarray)
        WHERE f.probin = p.probin)))
      FROM (SELECT DISTINCT probin FROM pg_catalog.pg_proc JOIN pg_catalog.pg_language l ON l.oid = prolang
        WHERE l.lanname = 'c' AND probin IS NOT NULL) p)::text AS libraries`;

async function readContent(
  databases: readonly string[],
  connection: DatabaseConnection,
  context: EngineContext,
): Promise<Content> {
  const content: Content = { unlogged: [], libraries: [], unseen: [] };
  for (const database of databases) {
    try {
      const session = await connect(connection, {
        signal: context.signal,
        applicationName: 'tidemark check',
        database,
        settings: { statement_timeout: '10s' },
      });
      try {
        const [row] = await session.rows(QUERY);
        for (const name of JSON.parse(row?.unlogged ?? '[]') as string[]) content.unlogged.push(`${database}: ${name}`);
        for (const [name, ofType] of JSON.parse(row?.libraries ?? '[]') as [string, boolean][])
          content.libraries.push({ name, ofType, database });
      } finally {
        await session.close();
      }
    } catch (error) {
      if (context.signal.aborted) throw error;
      content.unseen.push(`${database} (${errorText(error, connection)})`);
    }
  }
  return content;
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Looks into every database, with `postgres` as the program that a sandbox would run (null: none is installed). */
export async function findContentFindings(
  databases: readonly string[],
  connection: DatabaseConnection,
  context: EngineContext,
  postgres: string | null,
): Promise<CheckFinding[]> {
  const findings: CheckFinding[] = [];
  const content = await readContent(databases, connection, context);
  if (content.unlogged.length > 0)
    findings.push({
      severity: 'warns',
      code: 'unlogged_tables',
      message: `Unlogged tables are empty after a recovery: ${listNames(content.unlogged)}.`,
      statement: null,
    });
  if (content.unseen.length > 0)
    findings.push({
      severity: 'info',
      code: 'databases_not_seen',
      message: `The role cannot look into these databases, so nothing is known of their extensions: ${listNames(content.unseen)}.`,
      statement: null,
    });
  const folder = postgres === null ? null : join(dirname(postgres), '..', 'lib');
  // Without this library it is not the folder of the server's libraries, and nothing follows from what is missing there.
  if (folder === null || !(await exists(join(folder, 'plpgsql.so')))) return findings;
  const missing: Library[] = [];
  for (const library of content.libraries) {
    const path = library.name.replace(/^\$libdir\//, '');
    const file = path.startsWith('/') ? path : join(folder, path);
    if (!(await exists(file)) && !(await exists(`${file}.so`))) missing.push(library);
  }
  const say = (severity: 'refuses' | 'warns', libraries: readonly Library[], what: string) => {
    if (libraries.length === 0) return;
    const names = [...new Set(libraries.map(({ name, database }) => `${name.replace('$libdir/', '')} (${database})`))];
    findings.push({
      severity,
      code: severity === 'refuses' ? 'extension_types_missing' : 'extension_libraries_missing',
      message: `${what}: ${listNames(names)}. Install the extension's package beside the sandbox's PostgreSQL.`,
      statement: null,
    });
  };
  say(
    'refuses',
    missing.filter(({ ofType }) => ofType),
    'A sandbox on this host lacks the libraries of types that columns use, and could not read them',
  );
  say(
    'warns',
    missing.filter(({ ofType }) => !ofType),
    'A sandbox on this host lacks libraries of functions; tables are read without them, an index or a view may need them',
  );
  return findings;
}
