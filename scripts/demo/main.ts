/**
 * `npm run demo`: starts the whole service and one real server per engine, loads a public gazetteer into each, backs every one up through
 * the API, restores it under another name and shows the comparison. Then it puts them under a policy, lets an application make a mistake in
 * each, and recovers the moment before it. On a terminal it keeps serving until Ctrl-C; otherwise, or with `--exit`, it stops everything and
 * exits 0 only if every comparison was equal and every recovery found exactly the rows of its moment.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { program } from 'commander';
import { loadConfig } from '../../src/config.js';
import type { ServiceProcess } from '../lib/service-process.js';
import { embeddedDestination, isServiceRunning, startServiceProcess } from '../lib/service-process.js';
import type { DemoContext } from './attach-sources.js';
import { attachSources, createPolicy } from './attach-sources.js';
import { readGeonames } from './geonames.js';
import type { DemoResult } from './protect-source.js';
import { protectSource } from './protect-source.js';
import type { MomentResult } from './recover-moment.js';
import { recoverMoment } from './recover-moment.js';
import { printAddresses, printMoments, printResults } from './report.js';
import type { DemoSource } from './sources.js';
import { startSources } from './sources.js';

program
  .name('npm run demo --')
  .description(
    'Backs up and restores real databases of every engine, proves that each came back equal, and recovers a moment.',
  )
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
  const context = { api: service.api, say, signal: stopping.signal };
  const { id: destinationId } = await service.api.post<{ id: string }>('/v1/destinations', {
    name: 'demo store',
    ...embeddedDestination(service.run(), 'demo'),
  });
  const results = await protectAll(context, destinationId);
  printResults(results);
  failed = results.length === 0 || results.some((result) => !result.equal);
  const moments = await recoverAll(context, destinationId, results);
  printMoments(moments);
  failed ||= moments.some((result) => !result.exact);
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
  // The service first: it follows the logs of the sources, and would report their end as a failure.
  await service?.stop();
  await Promise.allSettled(sources.map((source) => source.server.stop()));
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

async function protectAll({ api, signal }: DemoContext, destinationId: string): Promise<DemoResult[]> {
  const results: DemoResult[] = [];
  for (const source of sources) {
    signal.throwIfAborted();
    results.push(await protectSource(api, source, destinationId, say));
  }
  return results;
}

async function recoverAll(
  context: DemoContext,
  destinationId: string,
  registered: readonly DemoResult[],
): Promise<MomentResult[]> {
  say('\nPutting the servers under one policy with point-in-time recovery …');
  const policyId = await createPolicy(context, destinationId);
  await attachSources(context, policyId, registered);
  say('An application writes, and forgets a WHERE. Recovering the moment before …');
  const results: MomentResult[] = [];
  for (const [index, source] of sources.entries()) {
    const database = registered[index];
    if (database === undefined) continue;
    context.signal.throwIfAborted();
    results.push(await recoverMoment(context, source, database));
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
