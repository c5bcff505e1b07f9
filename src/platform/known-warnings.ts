/**
 * Prisma reads several relations of a row at once, also on the one connection of a transaction. pg 8 queues such queries, as it always has, and
 * says that pg 9 will not. Nothing is wrong, and nobody at a terminal can do anything about it; the exact version of pg in
 * `package.json` keeps it so.
 */
const known = 'Calling client.query() when the client is already executing a query is deprecated';

/** From now on Node's warnings are printed without the ones that are known to mean nothing; replaces Node's own printer. */
export function hideKnownWarnings(print: (line: string) => void = (line) => process.stderr.write(line)): void {
  process.removeAllListeners('warning');
  process.on('warning', (warning) => {
    if (!warning.message.startsWith(known)) print(`(node:${process.pid}) ${warning.name}: ${warning.message}\n`);
  });
}
