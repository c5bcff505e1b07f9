/**
 * `npm run demo`: starts the whole service and one real server per engine, loads a public gazetteer into each, backs every one up through
 * the API, restores it under another name and shows the comparison. On a terminal it keeps serving until Ctrl-C; otherwise, or with
 * `--exit`, it stops everything and exits 0 only if every comparison was equal.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { program } from 'commander';
import { loadConfig } from '../../src/config.js';
import type { ApiClient } from '../lib/api-client.js';
import type { ServiceProcess } from '../lib/service-process.js';
import { embeddedDestination, isServiceRunning, startServiceProcess } from '../lib/service-process.js';
import { readGeonames } from './geonames.js';
import type { DemoResult } from './protect-source.js';
import { protectSource } from './protect-source.js';
import { printAddresses, printResults } from './report.js';
import type { DemoSource } from './sources.js';
import { startSources } from './sources.js';

program
  .name('npm run demo --')
  .description('Backs up and restores real databases of every engine, and proves that each came back equal.')
  .option('--exit', 'stop everything at the end, even on a terminal')
  .option('--only <product...>', 'only these engines: pg15 pg17 pg18 mysql mariadb mariadb1011')
  .parse();
const options = program.opts<{ exit?: boolean; only?: string[] }>();
const stayUp = process.stdout.isTTY === true && options.exit !== true;

const stopping = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopping.abort());

let service: ServiceProcess | undefined;
let sources: DemoSource[] = [];
let failed = false;
try {
  const config = loadConfig();
  say('Starting Tidemark: catalog, Temporal, S3 store, mail sink, API, workers …');
  service = await startServiceProcess({ home: emptyHome(), signal: stopping.signal });
  say('Starting a real server per engine and loading the gazetteer …');
  const tables = readGeonames();
  sources = await startSources({
    config,
    home: service.home,
    only: options.only,
    tables,
    say,
    signal: stopping.signal,
  });
  const results = await protectAll(service, sources);
  printResults(results);
  failed = results.length === 0 || results.some((result) => !result.equal);
  if (stayUp) {
    printAddresses(service.run(), service.home);
    say('\nEverything keeps running: open the addresses above. Ctrl-C stops it.');
    await untilAborted(stopping.signal);
  }
} catch (error) {
  failed = true;
  if (!stopping.signal.aborted)
    console.error(`\nThe demo failed: ${error instanceof Error ? error.message : String(error)}`);
} finally {
  say('Stopping …');
  await Promise.allSettled(sources.map((source) => source.server.stop()));
  await service?.stop();
}
process.exit(failed ? 1 : 0);

/**
 * The demo's own state, beside `.tidemark`, which `npm start` uses and the demo never touches. Emptied first, so that every run tells the
 * same story.
 */
function emptyHome(): string {
  const home = join(process.cwd(), '.tidemark-demo');
  if (isServiceRunning(home)) throw new Error('a demo of this checkout runs already; stop it first');
  rmSync(home, { recursive: true, force: true });
  mkdirSync(home, { mode: 0o711 });
  return home;
}

async function protectAll(running: ServiceProcess, demoSources: readonly DemoSource[]): Promise<DemoResult[]> {
  const api: ApiClient = running.api;
  const destination = await api.post<{ id: string }>('/v1/destinations', {
    name: 'demo store',
    ...embeddedDestination(running.run(), 'demo'),
  });
  const results: DemoResult[] = [];
  for (const source of demoSources) {
    stopping.signal.throwIfAborted();
    results.push(await protectSource(api, source, destination.id, say));
  }
  return results;
}

function say(line: string): void {
  console.log(line);
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
