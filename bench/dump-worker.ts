/**
 * One backup as a worker makes it, in a process of its own: open the dump, every part and the fingerprint through the data path, the
 * manifest. Reads its task from standard input; prints wall time from the first connection to the published manifest, and peak memory.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { newId } from '../src/domain/ids.js';
import type { DatabaseConnection } from '../src/engines/engine.js';
import { getEngine } from '../src/engines/registry.js';
import { newMasterKey } from '../src/keys/master-key.js';
import { createWrappingKey } from '../src/keys/wrapping-key.js';
import { takeDump } from '../src/recovery/take-dump.js';
import type { DestinationConfig } from '../src/storage/destination.js';
import { attemptPrefix } from '../src/storage/layout.js';
import { openDestination } from '../src/storage/open-destination.js';
import { writeManifest } from '../src/storage/write-manifest.js';
import { dumpManifest } from '../test/support/dump-manifest.js';
import { cpuMsOf } from './cpu-time.js';

export type DumpTask = {
  readonly connection: DatabaseConnection;
  readonly destination: DestinationConfig;
  readonly toolRoots: readonly string[];
  readonly fingerprint: boolean;
};
export type DumpFigures = {
  readonly wallMs: number;
  /** User and system time of this process and the dump tools, from the first connection on. */
  readonly cpuMs: number;
  readonly peakBytes: number;
  readonly storedBytes: number;
};

const task = JSON.parse(await text(process.stdin)) as DumpTask;
const scratchDir = mkdtempSync(join(tmpdir(), 'tm-bench-'));
const signal = new AbortController().signal;
try {
  const { key, sealed } = await createWrappingKey(newMasterKey());
  const [installationId, databaseId, backupId, attemptId] = [
    newId('installation'),
    newId('database'),
    newId('backup'),
    newId('attempt'),
  ];
  const cpuBefore = cpuMsOf('self');
  const started = performance.now();
  const startedAt = new Date().toISOString();
  const destination = openDestination(task.destination);
  const { connection } = task;
  const session = await getEngine(connection.engine).openDump(
    connection,
    { signal, scratchDir, toolRoots: task.toolRoots },
    { fingerprint: task.fingerprint },
  );
  if (task.fingerprint && session.fingerprintUnavailable) throw new Error(session.fingerprintUnavailable);
  const { artifacts, fingerprint } = await takeDump({
    session,
    destination,
    keyPrefix: attemptPrefix(databaseId, backupId, attemptId),
    key,
    context: { installation: installationId, backup: backupId },
    signal,
    onBytes: () => {},
    onTable: () => {},
  });
  await session.close();
  await writeManifest({
    destination,
    key,
    sealedKey: sealed,
    signal,
    manifest: dumpManifest({
      ...{ installationId, backupId, attemptId, databaseId, startedAt, artifacts, key, sealedKey: sealed },
      source: { ...session.server, host: connection.host, port: connection.port, database: connection.database },
      takenAt: session.takenAt,
      position: session.position,
      fingerprint: fingerprint ? { artifact: 'fingerprint.json', tables: fingerprint.tables.length, rows: '0' } : null,
      fingerprintUnavailable: session.fingerprintUnavailable,
    }),
  });
  const wallMs = performance.now() - started;
  const cpuMs = cpuMsOf('self') - cpuBefore;
  destination.close();
  const peak = /VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  const objects = artifacts.flatMap((artifact) => artifact.objects);
  const storedBytes = objects.reduce((sum, object) => sum + object.storedBytes, 0);
  const figures: DumpFigures = { wallMs, cpuMs, peakBytes: Number(peak) * 1024, storedBytes };
  process.stdout.write(JSON.stringify(figures));
} finally {
  rmSync(scratchDir, { recursive: true, force: true });
}
