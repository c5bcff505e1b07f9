/** A damaged full is no end of recovery: the next older one and more of the log reach the same point, and it is said. */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect, test, vi } from 'vitest';
import { recoveryWindow } from '../../src/catalog/runs/recovery-window.js';
import { extractPoint } from '../../src/cli/extract-point.js';
import { loadConfig } from '../../src/config.js';
import { planPoint } from '../../src/domain/recovery-plan.js';
import { getChainEngine } from '../../src/engines/chain-registry.js';
import { masterKeyOpener } from '../../src/keys/key-opener.js';
import { enginesRoot } from '../../src/platform/installed.js';
import { readStoredChain } from '../../src/recovery/read-store.js';
import { backupPrefix, manifestKey } from '../../src/storage/layout.js';
import { openDestination } from '../../src/storage/open-destination.js';
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
  async function largestOf(backupId: string): Promise<string> {
    const prefix = `${backupPrefix(server.serverId, backupId)}/`;
    const keys = (await storedKeys(stack, server.bucket)).filter((key) => key.startsWith(prefix));
    const [largest] = keys.sort((a, b) => statSync(pathOf(b)).size - statSync(pathOf(a)).size);
    if (largest === undefined) throw new Error(`nothing is stored of ${backupId}`);
    return largest;
  }

  function flipByte(key: string): void {
    const content = readFileSync(pathOf(key));
    const middle = content.length >> 1;
    content[middle] = (content[middle] ?? 0) ^ 1;
    writeFileSync(pathOf(key), content);
  }

  /** `tidemark extract --time`, which finds the damage while it reads, says so and goes the other way too. */
  async function expectExtracted(damaged: string, time: string): Promise<void> {
    const root = mkdtempSync(join(tmpdir(), 'tm-extracted-'));
    const said = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    const destination = openDestination(stack.store.config(server.bucket));
    const openKey = masterKeyOpener(stack.context.masterKey);
    const [serverId, outDir] = [server.serverId, join(root, 'out')];
    const extract = () =>
      extractPoint(
        { destination, openKey, signal: AbortSignal.timeout(120_000) },
        {
          ...{ serverId, policyId: null, outDir, toolRoots: [enginesRoot(loadConfig().install)] },
          target: { kind: 'time', time, before: false },
        },
      );
    try {
      expect(await extract()).toContain(time);
      expect(said.mock.calls.map(([text]) => String(text))).toContainEqual(
        expect.stringMatching(`^passed over, because it is damaged: .*${damaged}`),
      );
      // The label of a backup is its name.
      expect(readFileSync(join(outDir, 'data/backup_label'), 'utf8')).toContain(oldest);
      rmSync(outDir, { recursive: true });
      const first = (await server.slices(0))[0]?.objectKey ?? '';
      flipByte(first);
      await expect(extract()).rejects.toMatchObject({
        code: 'backup_not_restorable',
        message: expect.stringContaining(damaged),
      });
      expect(said.mock.calls.at(-1)?.[0]).toContain(first);
      expect(existsSync(outDir)).toBe(false);
      flipByte(first);
    } finally {
      said.mockRestore();
      destination.close();
      rmSync(root, { recursive: true, force: true });
    }
  }

  test('goes on from the older one when damage is found while it is read, or when its manifest is gone, and says so', async () => {
    await write(1);
    const changed = (await server.takeBackup('full')).id;
    await write(2);
    const point = await now();
    await write(3);
    await server.caughtUp();
    flipByte(await largestOf(changed));
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
    await expectExtracted(changed, point);
    // Without the catalog the same: what cannot be read is told and left out.
    truncateSync(pathOf(await largestOf(changed)), 100);
    const destination = openDestination(stack.store.config(server.bucket));
    const reading = {
      destination,
      openKey: masterKeyOpener(stack.context.masterKey),
      signal: AbortSignal.timeout(60_000),
    };
    const { damaged, input } = await readStoredChain(reading, { serverId: server.serverId, policyId: null });
    expect(damaged.map(({ message }) => message)).toEqual([expect.stringContaining(changed)]);
    expect(planPoint(input, { kind: 'time', time: point, before: false }).backupIds).toEqual([oldest]);
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
