/** Identity of a MariaDB server: its id, its GTID domains, and since 10.11.9 what the server calls its unique id. */
const MARIADB = /^mariadb:(\d+):(\d+(?:,\d+)*)(?::([0-9a-f]+))?$/;

/**
 * Whether two identities are those of one server, for a server that was found again under the address at which it was registered.
 *
 * PostgreSQL and MySQL keep their identity with their data: equal or not. MariaDB has nothing like that. Its server id and the GTID domain
 * of its own transactions stay; the unique id is made of network card and port, so that it tells two servers of default settings apart and
 * changes when one moves. It therefore does not part what id and domain join: that the log is the same is proven by its bytes, when it is
 * followed. Domains that sessions used stand in identities of earlier releases.
 */
export function isSameServer(a: string, b: string): boolean {
  if (a === b) return true;
  const [one, other] = [MARIADB.exec(a), MARIADB.exec(b)];
  if (one === null || other === null || one[1] !== other[1]) return false;
  const domains = new Set(one[2]?.split(','));
  return other[2]?.split(',').some((domain) => domains.has(domain)) === true;
}
