/** The disk of the spool is full: it is said, nothing is lost, and following goes on by itself once there is room. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it, vi } from 'vitest';
import { mountSmallDisk } from '../../scripts/soak/small-disk.js';
import { configureArchive } from '../../src/engines/postgres/archive/configure-archive.js';
import type { ArchivePlaces } from '../support/archive-places.js';
import { expectUnbroken } from '../support/archive-places.js';
import type { FolderArchive } from '../support/archive-to-folder.js';
import { compareBinlogs } from '../support/compare-binlogs.js';
import { describeEngine } from '../support/engine-servers.js';
import { until } from '../support/until.js';
import { useSource as useBinlogSource } from './mysql-family-archive-source.js';
import { compareWithServer, useSource as usePostgres } from './postgres-archive-source.js';

const root = mkdtempSync(join(tmpdir(), 'tm-spool-'));
const disk = mountSmallDisk(join(root, 'disk'));
afterAll(() => {
  disk.unmount();
  rmSync(root, { recursive: true, force: true });
});
const why = disk.skipped === null ? '' : ` [skipped: ${disk.skipped}]`;

/** A source, how one more of its log files is begun, and how much of that finds room. */
const sources = {
  pg17: {
    use: () => {
      const source = usePostgres('pg17', { wal_keep_size: '1GB' });
      const compare = (archive: ArchivePlaces, run: FolderArchive) =>
        compareWithServer(source.server, archive.dir, run.files());
      const configure = async (archive: ArchivePlaces) => {
        await configureArchive(source.connection(), source.context(), archive);
      };
      return { ...source, rotate: () => source.server.query('SELECT pg_switch_wal()'), compare, configure };
    },
    // Room for a part of the rest of the segment, which the server sends to its end when it begins the next one.
    room: 1024 * 1024,
  },
  mysql: { use: () => useFamily('mysql'), room: 300 * 1024 },
  mariadb: { use: () => useFamily('mariadb'), room: 300 * 1024 },
};

function useFamily(product: 'mysql' | 'mariadb') {
  const source = useBinlogSource(product);
  const compare = (archive: ArchivePlaces, run: FolderArchive) =>
    compareBinlogs(source.server, archive.dir, run.files());
  return { ...source, compare, configure: async () => {} };
}

for (const product of ['pg17', 'mysql', 'mariadb'] as const) {
  describeEngine(product, `the log archive of ${product} with a spool on a small disk${why}`, () => {
    vi.setConfig({ testTimeout: 300_000 });
    const { use, room } = sources[product];
    const source = use();

    const saysFull = async (run: FolderArchive) => {
      const state = await until(
        () => {
          const now = run.follower.state();
          return !now.connected && now.outOfSpace ? now : null;
        },
        'the full disk to be said',
        120_000,
      );
      expect(state.message).toMatch(/no space left on device/i);
      expect(run.failure()).toBeNull();
    };

    it.skipIf(disk.skipped !== null)(
      'says that its disk is full, and goes on without a hole when there is room again',
      async () => {
        const archive = { ...source.newArchive(), spoolDir: join(disk.path, product) };
        await source.configure(archive);
        // Nothing is acknowledged: the spool keeps what it has, as while the store is away.
        const run = await source.follow(archive, { acknowledge: false });
        await source.fill(1_000);
        await run.catchUp();
        disk.fill(room);
        await source.rotate();
        await source.fill(1_000);
        await saysFull(run);
        disk.free();
        await source.fill(1_000);
        await run.catchUp();
        await until(() => run.follower.state().connected, 'the receiver to be connected again', 60_000);
        await run.stop();
        expectUnbroken(run.chunks);
        expect(source.compare(archive, run)).toBe(run.files().length);
      },
    );

    it.skipIf(disk.skipped !== null)('begins on a full disk as soon as there is room', async () => {
      const archive = { ...source.newArchive(), spoolDir: join(disk.path, `later-${product}`) };
      await source.configure(archive);
      disk.fill(0);
      const run = await source.follow(archive);
      await saysFull(run);
      expect(run.failure()).toBeNull();
      disk.free();
      await source.fill(1_000);
      await run.catchUp();
      await run.stop();
      expectUnbroken(run.chunks);
    });
  });
}
