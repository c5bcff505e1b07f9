import type { Session } from '../connect.js';

export type Tablespace = { readonly oid: string; readonly name: string; readonly location: string };

/** What a sandbox must know of the cluster, and what a full holds. Names and settings only. */
export type ClusterFacts = {
  /** A superuser that may log in: the sandbox is entered as it. Null when there is none. */
  readonly superuser: string | null;
  /** Locales that sessions of the databases set, whatever provider compares text. */
  readonly locales: readonly string[];
  /** Databases a session can open, templates left out. */
  readonly databases: readonly string[];
  /** Of all databases the role may connect to; the server's estimate. */
  readonly sizeBytes: number;
  /** Those that people made, and where the server keeps them. */
  readonly tablespaces: readonly Tablespace[];
};

const list = (value: string | null | undefined): string[] => JSON.parse(value ?? '[]') as string[];

/** Reads it over an ordinary session; every role may. */
export async function readCluster(session: Session): Promise<ClusterFacts> {
  const [row] = await session.rows(`
    SELECT (SELECT rolname FROM pg_catalog.pg_roles WHERE rolsuper AND rolcanlogin ORDER BY oid LIMIT 1) AS superuser,
      (SELECT pg_catalog.json_agg(DISTINCT name) FROM pg_catalog.pg_database, LATERAL (VALUES (datcollate), (datctype)) l (name)
        WHERE datallowconn)::text AS locales,
      (SELECT pg_catalog.json_agg(datname ORDER BY datname) FROM pg_catalog.pg_database
        WHERE datallowconn AND NOT datistemplate AND datconnlimit <> -2)::text AS databases,
      (SELECT pg_catalog.sum(pg_catalog.pg_database_size(oid)) FROM pg_catalog.pg_database
        WHERE pg_catalog.has_database_privilege(oid, 'CONNECT') OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE'))::text AS bytes,
      (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(oid::text, spcname, pg_catalog.pg_tablespace_location(oid)) ORDER BY oid) FROM pg_catalog.pg_tablespace
        WHERE spcname NOT IN ('pg_default', 'pg_global'))::text AS tablespaces`);
  const tablespaces = JSON.parse(row?.tablespaces ?? '[]') as [string, string, string][];
  return {
    superuser: row?.superuser ?? null,
    locales: list(row?.locales),
    databases: list(row?.databases),
    sizeBytes: Number(row?.bytes ?? 0),
    tablespaces: tablespaces.map(([oid, name, location]) => ({ oid, name, location })),
  };
}
