import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { ArchiveResult } from './chain-archive.js';
import { archiveSection, benchArchive } from './chain-archive.js';
import type { LatencyResult } from './chain-latency.js';
import { benchLatency, latencySection } from './chain-latency.js';
import type { FamilyProduct, LogicalResult } from './chain-logical.js';
import { benchLogical, logicalSection } from './chain-logical.js';
import type { PhysicalResult } from './chain-physical.js';
import { benchPhysical, physicalSection } from './chain-physical.js';
import type { ThroughputResult } from './chain-throughput.js';
import { benchThroughput, throughputSection } from './chain-throughput.js';
import type { LoadProduct } from './load.js';
import { loadProducts } from './load.js';
import { machine, writeSection } from './report.js';
import { startTlsStore } from './tls-store.js';

const parts = ['full', 'archive', 'latency', 'throughput'] as const;

/**
 * Chains and log archives beside pgBackRest, the plain pipeline and the engines' own programs, over one store with TLS. Each part writes
 * its section of docs/performance.md, unless only some engines were wanted or --no-report is given.
 */
export async function runChainBench(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      part: { type: 'string', default: parts.join(',') },
      engine: { type: 'string', default: loadProducts.join(',') },
      /** MiB of PostgreSQL; MySQL and MariaDB get half, the logs of the archive part a quarter. */
      size: { type: 'string', default: '1024' },
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '30' },
      'no-report': { type: 'boolean', default: false },
    },
  });
  const engines = values.engine.split(',') as LoadProduct[];
  const family = engines.filter((product): product is FamilyProduct => product !== 'pg17');
  const [mib, rounds, windowMs] = [Number(values.size), Number(values.rounds), Number(values.seconds) * 1000];
  const dir = mkdtempSync(join(tmpdir(), 'tm-bench-'));
  // Database servers run as another user, who must reach their data below.
  chmodSync(dir, 0o711);
  const store = await startTlsStore(dir);
  const isWhole = loadProducts.every((product) => engines.includes(product));
  const report = (part: string, title: string, lines: readonly string[]) => {
    console.log(`\n${lines.join('\n')}\n`);
    if (!isWhole || values['no-report']) return;
    const command = `npm run bench -- chain --part ${part} --size ${mib} --rounds ${rounds} --seconds ${windowMs / 1000}`;
    writeSection(`chain-${part}`, [`## ${title}`, '', ...machine(command), '', ...lines]);
  };
  try {
    for (const part of values.part.split(',')) {
      if (part === 'full') {
        let physical: PhysicalResult | null = null;
        if (engines.includes('pg17')) physical = await benchPhysical({ mib, rounds, store, dir });
        const logical: LogicalResult[] = [];
        for (const product of family) logical.push(await benchLogical(product, { mib: mib / 2, rounds, store, dir }));
        report(part, 'Fulls, incrementals and recovery', [
          ...(physical === null ? [] : [...physicalSection(physical), '']),
          ...(logical.length === 0 ? [] : logicalSection(logical)),
        ]);
      } else if (part === 'archive') {
        const results: ArchiveResult[] = [];
        for (const product of family)
          results.push(await benchArchive(product, { store, dir, rounds, backlogMib: mib / 4 }));
        report(part, 'Archiving binary logs', archiveSection(results, mib / 4));
      } else if (part === 'latency') {
        const results: LatencyResult[] = [];
        for (const product of engines) results.push(...(await benchLatency(product, { store, dir, windowMs })));
        report(part, 'From commit to durable', latencySection(results, windowMs));
      } else if (part === 'throughput') {
        const results: ThroughputResult[] = [];
        const window = windowMs / 10;
        for (const product of engines)
          results.push(...(await benchThroughput(product, { store, dir, windowMs: window, rounds })));
        report(part, 'What an archive costs its source', throughputSection(results, window));
      } else throw new Error(`--part takes ${parts.join(', ')}`);
    }
  } finally {
    await store.close();
    rmSync(dir, { recursive: true, force: true });
  }
}
