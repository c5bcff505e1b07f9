/** Fulls and logs of MySQL and MariaDB in tests. */
import { chmodSync, copyFileSync, createReadStream, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import type { Fingerprint } from '../../src/domain/fingerprint.js';
import type { LogPosition } from '../../src/domain/positions.js';
import { getChainEngine } from '../../src/engines/chain-registry.js';
import type { EngineContext } from '../../src/engines/engine.js';
import { readTransactions } from '../../src/engines/mysql-family/binlog/read-transactions.js';
import type { BinlogTransaction } from '../../src/engines/mysql-family/binlog/scan-binlog.js';
import type { TestEngine } from '../support/engine-servers.js';
import { connectionTo } from './contract-support.js';
import type { StoredLog, TakenBackup } from './postgres-chain-support.js';
import { takeAll } from './postgres-chain-support.js';

export const familyProducts = ['mysql', 'mariadb', 'mariadb1011'] as const;
export type FamilyProduct = (typeof familyProducts)[number];

export const brandOf = (product: FamilyProduct) => (product === 'mysql' ? 'mysql' : 'mariadb');

/** Takes a full as a backup's activity does, with the fingerprints of all databases when asked. */
export async function takeFamilyFull(
  server: TestEngine,
  context: EngineContext,
  options: { readonly prints?: boolean; readonly during?: () => Promise<void> } = {},
): Promise<TakenBackup & { readonly prints: ReadonlyMap<string, Fingerprint> }> {
  const prints = new Map<string, Fingerprint>();
  const session = await getChainEngine(server.engine).openFull(connectionTo(server, 'mysql'), context, {
    label: 'test',
    fingerprint: options.prints === true,
  });
  const reading = async () => {
    if (options.prints) for (const name of session.databases) prints.set(name, await session.fingerprint(name));
  };
  const read = reading();
  read.catch(() => {});
  const full = await takeAll(session, 'full', async () => {
    await options.during?.();
    await read;
  });
  return { ...full, prints };
}

/** Copies of the server's log files, as a store gives them back, that go when the test file ends. */
export function useLogCopies(server: TestEngine): { collect(): Promise<StoredLog & { logEnd: LogPosition }> } {
  const folders: string[] = [];
  afterAll(() => {
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  });
  return {
    async collect() {
      const logDir = mkdtempSync(join(tmpdir(), 'log-'));
      chmodSync(logDir, 0o711);
      folders.push(logDir);
      const { position } = await getChainEngine(server.engine).readLogEnd(connectionTo(server, 'mysql'), {
        signal: new AbortController().signal,
        scratchDir: logDir,
        toolRoots: [],
      });
      const logFiles = readdirSync(server.engineDataDir)
        .filter((name) => /^binlog\.\d+$/.test(name))
        .sort()
        .map((name) => {
          copyFileSync(join(server.engineDataDir, name), join(logDir, name));
          return { name, bytes: statSync(join(logDir, name)).size };
        });
      return { logDir, logFiles, logEnd: position };
    },
  };
}

export async function transactionsOf(product: FamilyProduct, log: StoredLog): Promise<BinlogTransaction[]> {
  const found: BinlogTransaction[] = [];
  for (const { name } of log.logFiles) {
    const stream = createReadStream(join(log.logDir, name));
    for await (const one of readTransactions(stream, { kind: brandOf(product), file: name })) found.push(one);
  }
  return found;
}
