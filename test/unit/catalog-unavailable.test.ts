import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { expect, it } from 'vitest';
import { openCatalog } from '../../src/catalog/client.js';
import { isCatalogUnavailable } from '../../src/catalog/unavailable.js';

/** ErrorResponse of the PostgreSQL protocol: what a real server says in the second of its recovery, which no test can hold open. */
function refusal(code: string, message: string): Buffer {
  const fields = Buffer.from(`SFATAL\0VFATAL\0C${code}\0M${message}\0\0`);
  const head = Buffer.alloc(5);
  head.write('E');
  head.writeInt32BE(fields.length + 4, 1);
  return Buffer.concat([head, fields]);
}

for (const [code, message, away] of [
  ['57P03', 'the database system is starting up', true],
  ['57P01', 'terminating connection due to administrator command', true],
  ['53300', 'sorry, too many clients already', true],
  ['3D000', 'database "tidemark" does not exist', false],
] as const) {
  it(`a catalog that says "${message}" is ${away ? 'away, which passes' : 'not away: nobody would mend it by waiting'}`, async () => {
    const server = createServer((socket) => socket.once('data', () => socket.end(refusal(code, message))));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const catalog = openCatalog(`postgresql://tidemark:secret@127.0.0.1:${port}/tidemark`);
    try {
      const error = await catalog.prisma.token.findMany().then(
        () => null,
        (reason: unknown) => reason,
      );
      expect(error).toBeInstanceOf(Error);
      expect(isCatalogUnavailable(error)).toBe(away);
    } finally {
      await catalog.close();
      server.close();
    }
  });
}
