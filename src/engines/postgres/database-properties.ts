import type { Session } from './connect.js';
import { quoteText } from './quote.js';

/**
 * What was decided when the database was created, and the roles its objects name (owners, grantees, policies). A staging database is
 * made like it; the catalog's column names differ between majors, so the whole row is read as JSON.
 */
export async function readDatabaseProperties(
  session: Session,
  database: string,
): Promise<Record<string, string | null>> {
  const [row] = await session.rows(`
    SELECT pg_catalog.pg_encoding_to_char(d.encoding) AS encoding, pg_catalog.to_jsonb(d) AS properties,
      coalesce((SELECT json_agg(DISTINCT r.rolname ORDER BY r.rolname) FROM pg_catalog.pg_shdepend s
        JOIN pg_catalog.pg_roles r ON r.oid = s.refobjid
        WHERE s.refclassid = 'pg_catalog.pg_authid'::regclass AND s.dbid = d.oid), '[]') AS roles
    FROM pg_catalog.pg_database d WHERE d.datname = ${quoteText(database)}`);
  const properties = JSON.parse(row?.properties ?? '{}') as Record<string, string | null>;
  return {
    encoding: row?.encoding ?? null,
    collate: properties.datcollate ?? null,
    ctype: properties.datctype ?? null,
    provider: properties.datlocprovider ?? null,
    locale: properties.datlocale ?? properties.daticulocale ?? null,
    icuRules: properties.daticurules ?? null,
    roles: row?.roles ?? '[]',
  };
}
