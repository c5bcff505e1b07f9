import { Prisma } from './generated/client.js';

// Prisma: cannot reach, timed out, closed the connection, no connection free in time, transaction not started in time, too many connections.
const prismaCodes = new Set(['P1001', 'P1002', 'P1008', 'P1017', 'P2024', 'P2028', 'P2037']);
// What sockets and PostgreSQL say while a server is gone, starts or stops.
const driverCodes = /^(ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|08|57P0|53300)/;

/** True when a query failed because the catalog's server was not there, not because of the query. */
export function isCatalogUnavailable(error: unknown): boolean {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 4; at = at.cause, depth += 1) {
    if (at instanceof Prisma.PrismaClientInitializationError) return true;
    const { code } = at as { code?: unknown };
    if (typeof code === 'string' && (prismaCodes.has(code) || driverCodes.test(code))) return true;
    if (at.name === 'DriverAdapterError' && isConnectionKind(at.cause)) return true;
    if (isConnectionKind(adapterCause(at))) return true;
    if (/timeout exceeded when trying to connect|Connection terminated/i.test(at.message)) return true;
  }
  return false;
}

/** Codes that Prisma has no number for (57P03 while a server starts up) are P2039; only the adapter's error beside it tells them apart. */
function adapterCause(error: Error): unknown {
  const { meta } = error as { meta?: { driverAdapterError?: { cause?: unknown } } };
  return meta?.driverAdapterError?.cause;
}

// The adapter describes its failures as plain objects: {kind, originalCode?}.
function isConnectionKind(cause: unknown): boolean {
  if (typeof cause !== 'object' || cause === null) return false;
  const { kind, originalCode } = cause as { kind?: unknown; originalCode?: unknown };
  const byKind = kind === 'DatabaseNotReachable' || kind === 'ConnectionClosed' || kind === 'SocketTimeout';
  return byKind || (typeof originalCode === 'string' && driverCodes.test(originalCode));
}
