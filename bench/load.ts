/** A source under load: the server, its tables, and the application that writes. */
import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { EngineServer } from '../src/embedded/engine-server.js';
import { startEngineServer } from '../src/embedded/engine-server.js';
import type { Core } from './chain-launch.js';
import { pin } from './chain-launch.js';
import type { ChainSite } from './chain-site.js';
import { makeSite } from './chain-site.js';
import { makeLoadTables } from './load-tables.js';
import type { LoadFigures, LoadTask } from './load-worker.js';
import type { TlsStore } from './tls-store.js';

export const loadProducts = ['pg17', 'mysql', 'mariadb'] as const;
export type LoadProduct = (typeof loadProducts)[number];

export type LoadedSource = { readonly server: EngineServer; readonly site: ChainSite };

/** Runs `act` with a server of its own, durable as in production, on one core or any. */
export async function withSource<T>(
  product: LoadProduct,
  options: {
    readonly store: TlsStore;
    /** Where the server keeps its data. */
    readonly dir: string;
    readonly core: Core;
  },
  act: (source: LoadedSource) => Promise<T>,
): Promise<T> {
  const dataDir = join(options.dir, `${product}-load`);
  const settings: Record<string, string> =
    product === 'pg17'
      ? { max_wal_size: '4GB', shared_buffers: '256MB' }
      : { 'innodb-buffer-pool-size': '256M', 'max-binlog-size': '1G' };
  const server = await startEngineServer({ product, dataDir, settings });
  try {
    const site = await makeSite(server, options.store.config(await options.store.createBucket()), 'bench');
    await makeLoadTables(site.connection);
    if (options.core !== null) pin(server.pid, options.core);
    return await act({ server, site });
  } finally {
    await server.kill();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

export async function runLoad(task: LoadTask, core: Core): Promise<LoadFigures> {
  const worker = fileURLToPath(new URL('load-worker.ts', import.meta.url));
  const words = [
    ...(core === null ? [] : ['taskset', '-c', String(core)]),
    process.execPath,
    '--import',
    'tsx',
    worker,
  ];
  const [command = '', ...args] = words;
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(JSON.stringify(task));
  const exited = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
  const output = await text(child.stdout);
  if ((await exited) !== 0) throw new Error('the load failed');
  return JSON.parse(output) as LoadFigures;
}
