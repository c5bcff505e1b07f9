/** A damaged full is no end of recovery: the next older one and more of the log reach the same point, and it is said. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test, vi } from 'vitest';
import { recoveryWindow } from '../../src/catalog/runs/recovery-window.js';
import { getChainEngine } from '../../src/engines/chain-registry.js';
import { backupPrefix, manifestKey } from '../../src/storage/layout.js';
import { presentRestore } from '../../src/usecases/present/present-restore.js';
import type { ArchivedServer } from '../support/archived-server.js';
import { archiveServer } from '../support/archived-server.js';
import { describeEngine, usePrivateEngine } from '../support/engine-servers.js';
import { storedKeys } from '../support/run-helpers.js';
import { useRunStack } from '../support/run-stack.js';

describeEngine('pg17', 'a recovery past a damaged full', () => {
  // Three fulls and three restores, each in a sandbox of its own.
  vi.setConfig({ testTimeout: 600_000 });
  const source = usePrivateEngine('pg17');
  const stack = useRunStack();
  let server: ArchivedServer;
  let oldest: string;
  beforeAll(async () => {
    server = await archiveServer(stack, source, getChainEngine('postgresql'), {
      schema: 'create table written (n int primary key)',
    });
    await stack.startWorker({ queues: 'control,data,stream' });
    await server.wake();
    await server.caughtUp();
    oldest = (await server.takeBackup('full')).id;
  }, 300_000);

  const pathOf = (key: string) => join(stack.store.dataDir, server.bucket, key);
  const write = (n: number) => source.query(`insert into written values (${n})`, server.name);
  const rowsOf = async (name: string) =>
    (await source.query<{ n: number }>('select n from written order by n', name)).map(({ n }) => n);
  const now = async () => {
    const [row] = await source.query<{ at: string }>(
      `select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at`,
    );
    return row?.at ?? '';
  };
  const damagesOf = async (id: string) =>
    (await stack.catalog.prisma.backup.findUniqueOrThrow({ where: { id } })).damage;
  const told = (backupId: string) =>
    stack.catalog.prisma.notification.count({ where: { event: 'backup_damaged', backupId } });

  /** The largest object of a backup: what it holds is read only when it is recovered. */
  async function flipByte(backupId: string): Promise<void> {
    const prefix = `${backupPrefix(server.serverId, backupId)}/`;
    const keys = (await storedKeys(stack, server.bucket)).filter((key) => key.startsWith(prefix));
    const contents = keys.map((key) => ({ key, content: readFileSync(pathOf(key)) }));
    const [largest] = contents.sort((a, b) => b.content.length - a.content.length);
    if (largest === undefined) throw new Error(`nothing is stored of ${backupId}`);
    const middle = largest.content.length >> 1;
    largest.content[middle] = (largest.content[middle] ?? 0) ^ 1;
    writeFileSync(pathOf(largest.key), largest.content);
  }

  test('goes on from the older one when damage is found while it is read, or when its manifest is gone, and says so', async () => {
    await write(1);
    const changed = (await server.takeBackup('full')).id;
    await write(2);
    const point = await now();
    await write(3);
    await server.caughtUp();
    await flipByte(changed);
    const first = await server.restorePoint({ time: point });
    expect(first.row).toMatchObject({ status: 'completed', backupId: oldest, proof: 'transport', error: null });
    expect(await rowsOf(first.name)).toEqual([1, 2]);
    expect(first.row.notes).toMatchObject([{ code: 'backup_damaged', message: expect.stringContaining(changed) }]);
    expect(await damagesOf(changed)).toMatchObject({ code: 'object_corrupt' });
    expect(await told(changed)).toBe(1);

    const headless = (await server.takeBackup('full')).id;
    await write(4);
    await server.caughtUp();
    rmSync(pathOf(manifestKey(server.serverId, headless)));
    const second = await server.restorePoint({});
    expect(second.row).toMatchObject({ status: 'completed', backupId: oldest });
    expect(await rowsOf(second.name)).toEqual([1, 2, 3, 4]);
    expect(await damagesOf(headless)).toMatchObject({ code: 'manifest_missing' });
    // Nothing later was there to be refused, and that is said; what was found before is not tried again.
    const notes = second.row.notes as { code: string; message: string }[];
    expect(notes.map(({ code }) => code)).toEqual(['backup_damaged', 'log_ended']);
    expect(notes[0]?.message).toContain(headless);
    const { prisma } = stack.catalog;
    const row = await prisma.restore.findUniqueOrThrow({ where: { id: second.row.id } });
    expect(presentRestore(row as never)).toMatchObject({ firstRefused: null, notes });
    const full = await prisma.backup.findUniqueOrThrow({ where: { id: oldest } });
    const window = await recoveryWindow(stack.catalog, { chainId: server.chainId });
    expect(window?.from).toBe(full.takenAt?.toISOString());
  });

  test('refuses, naming what is damaged, when no older one reaches the point, and PITR is active again with a new full', async () => {
    rmSync(pathOf(manifestKey(server.serverId, oldest)));
    const refused = await server.restorePoint({});
    expect(refused.row).toMatchObject({ status: 'failed', error: { code: 'backup_not_restorable' } });
    expect(JSON.stringify(refused.row.error)).toContain(oldest);
    const attachment = () => stack.catalog.prisma.attachment.findFirstOrThrow({ where: { chainId: server.chainId } });
    expect(await attachment()).toMatchObject({ pitrStatus: 'error', pitrError: { code: 'log_gap' } });
    await server.takeBackup('full');
    await vi.waitFor(async () => expect(await attachment()).toMatchObject({ pitrStatus: 'active', pitrError: null }), {
      timeout: 60_000,
      interval: 500,
    });
  });
});
