/** Ports on the loopback interface. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

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

/** Waits until `port` can be bound, at most `timeoutMs`; false when it never could. */
export async function waitForFreePort(port: number, timeoutMs: number): Promise<boolean> {
  const until = performance.now() + timeoutMs;
  while (!(await isPortFree(port))) {
    if (performance.now() >= until) return false;
    await sleep(50);
  }
  return true;
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

/**
 * True when this process itself listens on `port`, whatever the address. That something answers there is not enough: it may be another
 * program that took the port first, while ours is about to give up.
 */
export function isListening(pid: number, port: number): boolean {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const sockets = new Set<string>();
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of readTable(table)) {
      // proc(5): field 2 is the local address, 4 the state (0A = listening), 10 the inode.
      const fields = line.trim().split(/\s+/);
      if (fields[1]?.endsWith(suffix) && fields[3] === '0A' && fields[9]) sockets.add(`socket:[${fields[9]}]`);
    }
  }
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => sockets.has(linkTarget(`/proc/${pid}/fd/${fd}`)));
  } catch {
    return false;
  }
}

function linkTarget(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    // Closed since it was listed.
    return '';
  }
}

function readTable(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n');
  } catch {
    // No IPv6 on this machine.
    return [];
  }
}
