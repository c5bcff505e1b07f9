import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { EmbeddedState } from '../../src/embedded/embedded-state.js';
import { findFreePort, isListening, isPortFree } from '../../src/platform/ports.js';
import { spawnChild } from '../../src/platform/spawn-child.js';

const servers: ReturnType<typeof createServer>[] = [];
async function listen(host: string): Promise<number> {
  const server = createServer().listen(0, host);
  servers.push(server);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

it('a port that is taken is seen, and the next wish or any other port is found', async () => {
  const taken = await listen('127.0.0.1');
  expect(await isPortFree(taken)).toBe(false);
  const free = await findFreePort(taken, undefined);
  expect(free).not.toBe(taken);
  expect(await findFreePort(taken, free)).toBe(free);
});

it.each(['127.0.0.1', '0.0.0.0'])('who listens on %s is told from who does not', async (host) => {
  const port = await listen(host);
  const stranger = spawnChild({ command: 'sleep', args: ['600'], env: {}, stdout: 'ignore', label: 'sleep' });
  expect(isListening(process.pid, port)).toBe(true);
  expect(isListening(stranger.pid!, port)).toBe(false);
  await stranger.kill('SIGKILL');
  servers.splice(0)[0]?.close();
  expect(isListening(process.pid, port)).toBe(false);
});

it('the port of the last start is kept when another program holds it for a moment only', async () => {
  const home = mkdtempSync(join(tmpdir(), 'tm-ports-'));
  try {
    const former = await new EmbeddedState(home).choosePort('smtp');
    const squatter = createServer().listen(former, '127.0.0.1');
    servers.push(squatter);
    await once(squatter, 'listening');
    setTimeout(() => squatter.close(), 200);
    expect(await new EmbeddedState(home).choosePort('smtp')).toBe(former);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
});
