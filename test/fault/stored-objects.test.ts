import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { BackupResource } from '../../src/domain/schemas/backups.js';
import { describeEngine, uniqueName, useEngine } from '../support/engine-servers.js';
import { countOrders, createShop } from '../support/shop.js';
import { useTidemark } from '../support/tidemark.js';

describe('an object in the store that is not what was written', () => {
  describeEngine('pg17', 'on PostgreSQL', () => {
    const tidemark = useTidemark();
    const engine = useEngine('pg17');

    /** The folder of the backup in the store, which keeps objects as files. */
    const folderOf = (prefix: string, backup: BackupResource) =>
      join(tidemark.home, 's3/data/tidemark', prefix, 'tidemark/v1', backup.databaseId, 'backups', backup.id);
    const objectsOf = (folder: string) =>
      readdirSync(folder, { recursive: true, encoding: 'utf8' })
        .map((path) => join(folder, path))
        .filter((path) => statSync(path).isFile() && !path.endsWith('manifest.json'))
        .sort((a, b) => statSync(b).size - statSync(a).size);

    const attacks: readonly { name: string; code: string; named: boolean; attack(folder: string): string }[] = [
      {
        name: 'one flipped byte',
        code: 'object_corrupt',
        named: true,
        attack(folder) {
          const path = objectsOf(folder)[0] ?? '';
          const file = openSync(path, 'r+');
          const byte = Buffer.alloc(1);
          const at = Math.floor(statSync(path).size / 2);
          readSync(file, byte, 0, 1, at);
          writeSync(file, Buffer.of((byte[0] ?? 0) ^ 1), 0, 1, at);
          closeSync(file);
          return path;
        },
      },
      {
        name: 'a truncated object',
        code: 'object_corrupt',
        named: true,
        attack(folder) {
          const path = objectsOf(folder)[0] ?? '';
          truncateSync(path, statSync(path).size - 1);
          return path;
        },
      },
      {
        name: 'a missing object',
        code: 'object_missing',
        named: true,
        attack(folder) {
          const path = objectsOf(folder)[0] ?? '';
          rmSync(path);
          return path;
        },
      },
      {
        name: 'two swapped objects',
        code: 'object_corrupt',
        named: true,
        attack(folder) {
          const [first = '', second = ''] = objectsOf(folder);
          renameSync(first, `${first}.x`);
          renameSync(second, first);
          renameSync(`${first}.x`, second);
          return first;
        },
      },
      {
        name: 'a forged manifest',
        code: 'manifest_forged',
        named: false,
        attack(folder) {
          const path = join(folder, 'manifest.json');
          const manifest = JSON.parse(readFileSync(path, 'utf8'));
          manifest.takenAt = '2020-01-01T00:00:00.000Z';
          writeFileSync(path, JSON.stringify(manifest));
          return path;
        },
      },
      {
        name: 'a missing manifest',
        code: 'manifest_missing',
        named: false,
        attack(folder) {
          const path = join(folder, 'manifest.json');
          rmSync(path);
          return path;
        },
      },
    ];

    for (const [index, { name, code, named, attack }] of attacks.entries()) {
      it(`${name} is found before the target is touched, and named`, async () => {
        const prefix = `attack${index}`;
        const database = await createShop(engine);
        const databaseId = await tidemark.registerDatabase(engine, database);
        const planId = await tidemark.createPlan(databaseId, await tidemark.createDestination(prefix));
        const backup = await tidemark.backUp(planId);
        expect(backup.status).toBe('completed');
        const path = attack(folderOf(prefix, backup));

        const copy = uniqueName('copy');
        const made: string[] = [copy];
        const [settings] = await engine.query<{ oid: string }>(
          'select oid::text from pg_database where datname = current_database()',
          database,
        );
        for (const target of [{ kind: 'original' }, { kind: 'server', databaseId, database: copy }]) {
          const restore = await tidemark.restore({
            source: { kind: 'backup', backupId: backup.id },
            target,
            overwrite: true,
            confirmOverwrite: true,
          });
          expect(restore).toMatchObject({ status: 'failed', error: { code } });
          made.push(restore.id);
          if (named) expect(restore.error?.message).toContain(path.slice(path.indexOf('tidemark/v1')));
        }
        // Staging and kept databases carry the id of their restore; other test files make databases on this server meanwhile.
        const names = (await engine.query<{ datname: string }>('select datname from pg_database')).map(
          (row) => row.datname,
        );
        expect(names.filter((name) => made.some((part) => name.includes(part)))).toEqual([]);
        expect(
          await engine.query('select oid::text from pg_database where datname = current_database()', database),
        ).toEqual([settings]);
        expect(await countOrders(engine, database)).toBe(2_000);

        await expect(
          (async () => {
            const download = await tidemark.api.send('GET', `/v1/backups/${backup.id}/download`);
            if (!download.ok) throw new Error(String(download.status));
            await download.arrayBuffer();
          })(),
          'a damaged file never downloads as if it were whole',
        ).rejects.toThrow();
      });
    }
  });
});
