/** Ports on the loopback interface. */
import { createServer } from 'node:net';

/** Below the range from which Linux picks ports for outgoing connections (32768-60999): a port found here stays free until it is bound. */
const FIRST = 20_000;
const LAST = 32_000;

/** True when 127.0.0.1:`port` can be bound right now. */
export function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** The first free one of `preferred`, else any free loopback port. Another program may still take it first: be ready to ask again. */
export async function findFreePort(...preferred: (number | undefined)[]): Promise<number> {
  for (const port of preferred) {
    if (port !== undefined && (await isPortFree(port))) return port;
  }
  for (let attempt = 0; attempt < 200; attempt++) {
    // Random, so that programs that look at the same time do not find the same one.
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST));
    if (await isPortFree(port)) return port;
  }
  throw new Error(`no free port between ${FIRST} and ${LAST}`);
}
