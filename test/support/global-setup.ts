/**
 * Keeps the database servers of one test run: a test file that needs one asks over a socket, the first asker starts it, all share it.
 * The servers are children of the runner's main process and die with it, however it ends.
 */
import { chmodSync, globSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import type { EngineServer } from '../../src/embedded/engine-server.js';
import { startEngineServer } from '../../src/embedded/engine-server.js';
import type { EngineProduct } from '../../src/platform/installed.js';
import { engineProducts } from '../../src/platform/installed.js';
import { isRunning, markProcess, processMarkSchema } from '../../src/platform/processes.js';
import { readStateFile, writeStateFile } from '../../src/platform/state-file.js';
import type { EngineAddress } from './engine-servers.js';

declare module 'vitest' {
  export interface ProvidedContext {
    engineKeeper: string;
  }
}

const PREFIX = 'tm-run-';

/** Servers that the SDK started for a test and that outlived it: they know the run by its temporary folder (see own-temp-folder.ts). */
function endProcessesOf(dir: string): void {
  for (const entry of readdirSync('/proc')) {
    try {
      const environment = readFileSync(join('/proc', entry, 'environ'), 'utf8').split('\0');
      if (environment.includes(`TMPDIR=${join(dir, 't')}`)) process.kill(Number(entry), 'SIGKILL');
    } catch {
      // No process, another user's, or gone since.
    }
  }
}

/** What runs that were killed left behind: servers, and folders that hold gigabytes after a few days. */
function sweepDeadRuns(): void {
  for (const name of readdirSync(tmpdir())) {
    if (!name.startsWith(PREFIX)) continue;
    const dir = join(tmpdir(), name);
    try {
      const owner = readStateFile(join(dir, 'run.json'), processMarkSchema);
      if (!owner || isRunning(owner)) continue;
      endProcessesOf(dir);
      for (const file of globSync('**/server.json', { cwd: dir })) {
        const { socketDir } = JSON.parse(readFileSync(join(dir, file), 'utf8')) as { socketDir: string | null };
        if (socketDir?.startsWith(join(tmpdir(), 'tm-'))) rmSync(socketDir, { recursive: true, force: true });
      }
      rmSync(dir, { recursive: true, force: true });
    } catch {
      // Another user's run.
    }
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  sweepDeadRuns();
  const dir = mkdtempSync(join(tmpdir(), PREFIX));
  chmodSync(dir, 0o711);
  // The files' own temporary folders; servers that run as another user must be able to pass.
  mkdirSync(join(dir, 't'), { mode: 0o711 });
  writeStateFile(join(dir, 'run.json'), JSON.stringify(markProcess(process.pid)));

  const servers = new Map<EngineProduct, Promise<EngineServer>>();
  const start = (product: EngineProduct): Promise<EngineServer> => {
    let server = servers.get(product);
    if (!server) {
      server = startEngineServer({ product, dataDir: join(dir, product), durability: 'fast' });
      servers.set(product, server);
      server.catch(() => servers.delete(product));
    }
    return server;
  };

  const keeper = createServer((request, response) => {
    const product = engineProducts.find((candidate) => request.url === `/${candidate}`);
    const answer = (status: number, body: unknown) => response.writeHead(status).end(JSON.stringify(body));
    if (!product) return void answer(404, { error: `no engine ${request.url}` });
    start(product).then(
      ({ engine, major, host, port, socketDir, adminUser, adminPassword, engineDataDir, logFile }) => {
        const address: EngineAddress = {
          product,
          engine,
          major,
          host,
          port,
          socketDir,
          adminUser,
          adminPassword,
          engineDataDir,
          logFile,
        };
        answer(200, address);
      },
      (error: unknown) => answer(500, { error: error instanceof Error ? error.message : String(error) }),
    );
  });
  const socket = join(dir, 'keeper.sock');
  await new Promise<void>((resolve) => keeper.listen(socket, resolve));
  project.provide('engineKeeper', socket);

  return async () => {
    keeper.closeAllConnections();
    keeper.close();
    // Nothing of it is used again: an orderly stop would be wasted time.
    await Promise.allSettled([...servers.values()].map(async (server) => (await server).kill()));
    rmSync(dir, { recursive: true, force: true });
  };
}
