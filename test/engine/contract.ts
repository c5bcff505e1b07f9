/**
 * The contract that every engine keeps, run against real servers. An engine's test file gives an adapter and calls
 * `describeEngineContract`; what is special to one engine is tested beside it in its own file.
 */
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compareFingerprints } from '../../src/domain/fingerprint.js';
import { newId } from '../../src/domain/ids.js';
import type { RestoreSession } from '../../src/engines/engine.js';
import { getEngine } from '../../src/engines/registry.js';
import type { EngineProduct } from '../../src/platform/installed.js';
import { describeEngine, uniqueName, useEngine } from '../support/engine-servers.js';
import type { TakenDump } from './contract-support.js';
import { connectionTo, expectCode, partsOf, takeDump, useContext } from './contract-support.js';

export type { TakenDump } from './contract-support.js';
export { connectionTo, expectCode, expectRestorable, partsOf, takeDump, useContext } from './contract-support.js';

/** One change that a comparison must find; `sql` runs in a copy of the sample after the changes before it. */
export type SampleChange = { readonly name: string; readonly sql: string };

export type EngineAdapter = {
  readonly product: EngineProduct;
  /** Scripts that fill a new database with every type and every kind of object; each runs on a connection of its own. */
  readonly sample: readonly string[];
  /** Server-wide things the sample needs (roles, accounts), made once; must be repeatable. */
  readonly prepareServer?: readonly string[];
  readonly changes: readonly SampleChange[];
  /** What follows CREATE DATABASE for a database with another encoding and locale than the server's default. */
  readonly otherLocale: string;
  /** Filled into the database of the other locale: text that this encoding can hold. */
  readonly otherLocaleSample: readonly string[];
  /** A table with one row that tells which content a database holds; `markerTable` suits most. */
  readonly tables: { readonly create: (value: string) => string; readonly read: string };
};

export const markerTable: EngineAdapter['tables'] = {
  create: (value) =>
    `CREATE TABLE tm_marker (content varchar(100) PRIMARY KEY); INSERT INTO tm_marker VALUES ('${value}')`,
  read: 'SELECT content FROM tm_marker',
};

/** Runs the contract suite for one engine. */
export function describeEngineContract(adapter: EngineAdapter): void {
  describeEngine(adapter.product, `engine contract on ${adapter.product}`, () => {
    const server = useEngine(adapter.product);
    const context = useContext();
    const opened: RestoreSession[] = [];

    const openRestore = async (target: string, restoreId: string, attempt = 1): Promise<RestoreSession> => {
      const engine = getEngine(server.engine);
      const session = await engine.openRestore(connectionTo(server, target), context(), { restoreId, attempt });
      opened.push(session);
      return session;
    };
    const fill = async (database: string, scripts: readonly string[]) => {
      for (const script of scripts) await server.query(script, database);
    };
    const marker = async (database: string): Promise<string> => {
      const [row] = await server.query<{ content: string }>(adapter.tables.read, database);
      return row?.content ?? '';
    };
    const createMarked = async (value: string): Promise<string> => {
      const database = await server.createDatabase();
      await server.query(adapter.tables.create(value), database);
      return database;
    };
    /** A staging database with the content of a dump, ready to be swapped in. */
    const stage = async (session: RestoreSession, dump: TakenDump): Promise<string> => {
      const staging = await session.createStaging(dump.print);
      await session.load(staging, partsOf(dump));
      return staging;
    };

    beforeAll(async () => {
      for (const sql of adapter.prepareServer ?? []) await server.query(sql);
    });
    afterAll(async () => {
      for (const session of opened) {
        await session.dropStaging().catch(() => {});
        await session.close();
      }
    });

    describe('check', () => {
      it('names the server, its version and what a dump needs', async () => {
        const database = await createMarked('check');
        const check = await getEngine(server.engine).check(connectionTo(server, database), context());
        expect(check.server).toMatchObject({ engine: server.engine, major: server.major });
        expect(check.server.identity).toMatch(/^(pg|mysql|mariadb):.+/);
        expect(check.server.version.startsWith(server.major)).toBe(true);
        expect(check.role).toBe('primary');
        expect(check.sizeBytes).toBeGreaterThan(0);
        expect(check.capabilities).toEqual({ dump: true, reason: null });
        expect(check.findings.filter((finding) => finding.severity === 'refuses')).toEqual([]);
      });

      it('tells a wrong password, a missing database and an unreachable server apart, without the password', async () => {
        const engine = getEngine(server.engine);
        const right = connectionTo(server, await createMarked('errors'));
        const wrong = { ...right, password: 'not-the-Passw0rd' };
        expect(await expectCode(engine.check(wrong, context()), 'authentication_failed')).not.toContain(wrong.password);
        await expectCode(engine.openDump(wrong, context(), { fingerprint: true }), 'authentication_failed');
        const missing = { ...right, database: 'no such "database' };
        expect(await expectCode(engine.check(missing, context()), 'database_missing')).toContain('no such');
        await expectCode(engine.openDump(missing, context(), { fingerprint: true }), 'database_missing');
        await expectCode(engine.check({ ...right, port: 1 }, context()), 'database_unreachable');
        await expectCode(engine.check({ ...right, host: 'no-such-host.invalid' }, context()), 'database_unreachable');
      });
    });

    describe('dump and restore', () => {
      let dump: TakenDump;
      let source: string;
      beforeAll(async () => {
        source = await server.createDatabase();
        await fill(source, adapter.sample);
        dump = await takeDump(connectionTo(server, source), context());
      });

      it('brings back every type and kind of object, equal to its source', async () => {
        const session = await openRestore(source, newId('restore'));
        const staging = await stage(session, dump);
        expect(compareFingerprints(dump.print, await session.fingerprint(staging))).toEqual([]);
        expect(dump.print.tables.length).toBeGreaterThan(5);
        expect(dump.print.tables.some((table) => table.rows === '0')).toBe(true);
        await session.dropStaging();
      });

      it('gives the same fingerprint twice', async () => {
        const session = await openRestore(source, newId('restore'));
        expect(compareFingerprints(dump.print, await session.fingerprint(source))).toEqual([]);
      });

      it('finds any single change', async () => {
        const session = await openRestore(source, newId('restore'));
        const staging = await stage(session, dump);
        let before = await session.fingerprint(staging);
        const unseen: string[] = [];
        for (const change of adapter.changes) {
          await server.query(change.sql, staging);
          const after = await session.fingerprint(staging);
          if (compareFingerprints(before, after).length === 0) unseen.push(change.name);
          before = after;
        }
        expect(unseen).toEqual([]);
        await session.dropStaging();
      });

      it('refuses a dump that was cut off anywhere', async () => {
        const session = await openRestore(source, newId('restore'));
        const last = dump.parts.at(-1)!;
        for (const share of [0, 0.1, 0.5, 0.9, 1]) {
          const length = share === 1 ? last.content.length - 1 : Math.floor(last.content.length * share);
          const cut = {
            ...dump,
            parts: [...dump.parts.slice(0, -1), { ...last, content: last.content.subarray(0, length) }],
          };
          const staging = await session.createStaging(dump.print);
          await expectCode(session.load(staging, partsOf(cut)), 'load_failed');
        }
        await session.dropStaging();
      });

      it('passes on the error of a source that breaks off, whatever was loaded by then', async () => {
        const session = await openRestore(source, newId('restore'));
        const staging = await session.createStaging(dump.print);
        const broken = dump.parts.map(({ name, content }) => ({
          name,
          open: async () =>
            Readable.from(
              (function* () {
                yield content.subarray(0, Math.floor(content.length / 2));
                throw new Error('the store hung up');
              })(),
              { objectMode: false },
            ),
        }));
        expect(await expectCode(session.load(staging, broken), 'load_failed', 'object_corrupt')).toContain(
          'the store hung up',
        );
        await session.dropStaging();
      });

      it('ends a dump whose run is cancelled', async () => {
        const stop = new AbortController();
        const engine = getEngine(server.engine);
        const session = await engine.openDump(
          connectionTo(server, source),
          { ...context(), signal: stop.signal },
          { fingerprint: true },
        );
        const { stdout, done } = session.parts[0]!.start();
        stdout.on('error', () => {});
        stop.abort();
        await expect(done).rejects.toThrow();
        await session.close();
      });
    });

    describe('names and locales', () => {
      it('works on a database with a name of spaces, quotes and unicode', async () => {
        const name = `${uniqueName()} o'dd "näme" \`ß\` 漢 =;$`;
        await server.createDatabase({ name });
        await server.query(adapter.tables.create("it''s"), name);
        const dump = await takeDump(connectionTo(server, name), context());
        const restoreId = newId('restore');
        const session = await openRestore(name, restoreId);
        const staging = await stage(session, dump);
        expect(compareFingerprints(dump.print, await session.fingerprint(staging))).toEqual([]);
        const previous = `${name}__before_x`;
        const plan = await session.planSwap({ staging, target: name, previous });
        for (const step of plan.steps) await session.runStep(step, 'apply');
        expect(await marker(name)).toBe("it's");
        await session.dropPrevious(previous);
        await session.dropStaging();
      });

      it('keeps another encoding and locale than the default', async () => {
        const database = await server.createDatabase({ options: adapter.otherLocale });
        await fill(database, adapter.otherLocaleSample);
        const dump = await takeDump(connectionTo(server, database), context());
        const plain = await takeDump(connectionTo(server, await createMarked('plain')), context());
        expect(dump.print.database).not.toEqual(plain.print.database);
        const session = await openRestore(database, newId('restore'));
        const staging = await stage(session, dump);
        expect(compareFingerprints(dump.print, await session.fingerprint(staging))).toEqual([]);
        await session.dropStaging();
      });

      it('restores an empty database', async () => {
        const database = await server.createDatabase();
        const dump = await takeDump(connectionTo(server, database), context());
        const session = await openRestore(database, newId('restore'));
        expect(await session.inspect(database)).toMatchObject({ exists: true, empty: true, objects: [] });
        const staging = await stage(session, dump);
        expect(compareFingerprints(dump.print, await session.fingerprint(staging))).toEqual([]);
        await session.dropStaging();
      });
    });

    describe('target', () => {
      it('tells what a restore would meet there', async () => {
        const target = await createMarked('inspect');
        const session = await openRestore(target, newId('restore'));
        const found = await session.inspect(target);
        expect(found).toMatchObject({ exists: true, empty: false, canCreateDatabase: true, outsideTies: [] });
        expect(found.objects.join()).toContain('tm_marker');
        expect(await session.inspect(uniqueName('missing'))).toMatchObject({ exists: false, empty: true, objects: [] });
      });

      it('puts a restore under a new name', async () => {
        const dump = await takeDump(connectionTo(server, await createMarked('new name')), context());
        const target = uniqueName('fresh');
        const session = await openRestore(target, newId('restore'));
        const staging = await stage(session, dump);
        const plan = await session.planSwap({ staging, target, previous: `${target}__before_x` });
        expect(plan.previous).toBeNull();
        for (const step of plan.steps) await session.runStep(step, 'apply');
        expect(await marker(target)).toBe('new name');
        expect(compareFingerprints(dump.print, await session.fingerprint(target))).toEqual([]);
        await server.dropDatabase(target);
      });

      it('swaps in the restored content, keeps the former, and takes it back', async () => {
        const restoreId = newId('restore');
        const target = await createMarked('old');
        const dump = await takeDump(connectionTo(server, await createMarked('new')), context());
        const session = await openRestore(target, restoreId);
        const staging = await stage(session, dump);
        const previous = `${target}__before_${restoreId}`;
        const plan = await session.planSwap({ staging, target, previous });
        expect(plan).toMatchObject({ target, previous });
        expect(JSON.parse(JSON.stringify(plan))).toEqual(plan);
        for (const step of plan.steps) await session.runStep(step, 'apply');
        expect(await marker(target)).toBe('new');

        const aside = `${target}__reverted_${restoreId}`;
        const back = await session.planRevert({ target, previous, aside });
        for (const step of back.steps) await session.runStep(step, 'apply');
        expect(await marker(target)).toBe('old');
        await expectCode(session.planRevert({ target, previous, aside }), 'previous_gone');
        await session.dropPrevious(aside);
        await session.dropPrevious(aside);
        await expectCode(session.dropPrevious(target), 'conflict', 'invalid_request');
        expect(await marker(target)).toBe('old');
      });

      it('survives a crash after any step of a swap: it can be finished and it can be undone', async () => {
        const dump = await takeDump(connectionTo(server, await createMarked('new')), context());
        for (let crashAfter = 0, total = 1; crashAfter <= total; crashAfter++) {
          for (const ending of ['finish', 'undo'] as const) {
            const restoreId = newId('restore');
            const target = await createMarked('old');
            const previous = `${target}__before_${restoreId}`;
            const first = await openRestore(target, restoreId, 1);
            const staging = await stage(first, dump);
            const { steps } = await first.planSwap({ staging, target, previous });
            total = steps.length;
            for (const step of steps.slice(0, crashAfter)) await first.runStep(step, 'apply');
            await first.close();
            // The next one knows the plan, but not whether the last step was done: it runs that one again.
            const second = await openRestore(target, restoreId, 2);
            const known = Math.max(0, crashAfter - 1);
            if (ending === 'finish') for (const step of steps.slice(known)) await second.runStep(step, 'apply');
            else for (const step of steps.slice(0, crashAfter + 1).reverse()) await second.runStep(step, 'revert');
            expect(await marker(target), `${ending} after ${crashAfter} steps`).toBe(
              ending === 'finish' ? 'new' : 'old',
            );
            await second.dropStaging();
            if (ending === 'finish') await second.dropPrevious(previous);
            expect(await marker(target)).toBe(ending === 'finish' ? 'new' : 'old');
          }
        }
      });

      it('lets a later attempt end the earlier one and drop what it left', async () => {
        const restoreId = newId('restore');
        const target = await createMarked('old');
        const dump = await takeDump(connectionTo(server, target), context());
        const first = await openRestore(target, restoreId, 1);
        const left = await stage(first, dump);
        const second = await openRestore(target, restoreId, 2);
        const staging = await second.createStaging(dump.print);
        expect(staging).not.toBe(left);
        expect(await second.inspect(left)).toMatchObject({ exists: false });
        await expect(first.createStaging(dump.print)).rejects.toThrow();
        expect(await second.inspect(staging)).toMatchObject({ exists: true, empty: true });
        await second.dropStaging();
        await second.dropStaging();
        expect(await second.inspect(staging)).toMatchObject({ exists: false });
      });
    });
  });
}
