import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { newId } from '../../src/domain/ids.js';
import type { RestoreSession, SwapPlan, SwapStep } from '../../src/engines/engine.js';
import { getEngine } from '../../src/engines/registry.js';
import { auditedTables, readAudited, writeAudited } from '../support/audited-writers.js';
import { describeEngine, useEngine } from '../support/engine-servers.js';
import { connectionTo, partsOf, takeDump, useContext } from './contract.js';

const LONG = 'a name of 64 characters '.padEnd(64, 'é');
const SEED = [1, 2, 3, 4];

/** What an application may see while it is shut out: no such table, waited for a lock, deadlock, the table has changed meanwhile. */
const shutOutNumbers = new Set([1146, 1205, 1213, 1412]);

for (const product of ['mysql', 'mariadb', 'mariadb1011'] as const) {
  describeEngine(product, `applications that write during a swap on ${product}`, () => {
    const server = useEngine(product);
    const context = useContext();
    const open = (restoreId: string, attempt: number) =>
      getEngine(server.engine).openRestore(connectionTo(server, 'any'), context(), { restoreId, attempt });
    const audited = (database: string) => readAudited(server, database, LONG);

    /** A database that is about to be replaced by its own backup, which holds the rows of SEED. */
    const prepare = async () => {
      const target = await server.createDatabase();
      await server.query(auditedTables(LONG), target);
      await server.query(`INSERT INTO entry (n) VALUES ${SEED.map((n) => `(${n})`).join(', ')}`, target);
      const dump = await takeDump(connectionTo(server, target), context());
      const restoreId = newId('restore');
      const session = await open(restoreId, 1);
      const staging = await session.createStaging(dump.print);
      await session.load(staging, partsOf(dump));
      const [previous, aside] = [
        `${target.slice(0, 20)}__before_${restoreId}`,
        `${target.slice(0, 20)}__reverted_${restoreId}`,
      ];
      return { target, restoreId, session, staging, previous, aside };
    };
    /** As the journal runs them, with time between them in which an application could do harm. */
    const run = async (session: RestoreSession, plan: SwapPlan) => {
      for (const step of plan.steps) {
        await session.runStep(step, 'apply');
        await sleep(60);
      }
    };
    const expectOnlyShutOut = (errors: ReadonlyMap<number, string>) =>
      expect([...errors].filter(([number]) => !shutOutNumbers.has(number))).toEqual([]);

    it('commit no row without its triggers, in the former, the new and the kept content', async () => {
      const { target, session, staging, previous, aside } = await prepare();
      const writers = await writeAudited(server, target, 1000);
      await writers.untilCommit();
      await run(session, await session.planSwap({ staging, target, previous }));
      await writers.untilCommit();
      const atSwap = new Set(writers.committed);
      await audited(previous);
      await run(session, await session.planRevert({ target, previous, aside }));
      await writers.untilCommit();
      await writers.stop();

      expectOnlyShutOut(writers.errors);
      expect(writers.errors.has(1146)).toBe(true);
      const [former, restored] = [await audited(target), await audited(aside)];
      for (const n of SEED) expect(former.has(n) && restored.has(n)).toBe(true);
      // What was acknowledged is in one of the two contents, and only there.
      for (const n of writers.committed) expect(Number(former.has(n)) + Number(restored.has(n)), `row ${n}`).toBe(1);
      expect([...restored].some((n) => atSwap.has(n))).toBe(true);
      expect(former.size + restored.size).toBe(writers.committed.size + 2 * SEED.length);
      await session.dropStaging();
      await session.dropPrevious(aside);
      await session.close();
    });

    it('commit no row without its triggers when the swap dies in the middle of any step, is finished or undone', async () => {
      const { target, restoreId, session: first, staging, previous } = await prepare();
      const plan = await first.planSwap({ staging, target, previous });
      const writers = await writeAudited(server, target, 1000, 2);
      let session = first;
      let attempt = 1;
      /** The connection ends under the step at a random moment of it; the next attempt takes over. */
      const dieIn = async (step: SwapStep, direction: 'apply' | 'revert') => {
        const dying = session.runStep(step, direction).catch(() => {});
        await sleep(Math.random() * 25);
        attempt += 1;
        const next = await open(restoreId, attempt);
        await dying;
        await session.close();
        session = next;
        await sleep(50);
      };
      for (const [index, step] of plan.steps.entries()) {
        await writers.untilCommit();
        for (const earlier of plan.steps.slice(0, index)) await session.runStep(earlier, 'apply');
        await dieIn(step, 'apply');
        if (index % 2 === 0) {
          for (const later of plan.steps.slice(index)) await session.runStep(later, 'apply');
          await writers.untilCommit();
        }
        const done = index % 2 === 0 ? plan.steps.length : index + 1;
        for (const [at, undone] of plan.steps.slice(0, done).entries().toArray().reverse()) {
          if (at === index) await dieIn(undone, 'revert');
          await session.runStep(undone, 'revert');
        }
        await Promise.all([audited(staging), writers.untilCommit()]);
      }
      await run(session, plan);
      await writers.untilCommit();
      await writers.stop();

      expectOnlyShutOut(writers.errors);
      const [former, restored] = [await audited(previous), await audited(target)];
      for (const n of writers.committed) expect(Number(former.has(n)) + Number(restored.has(n)), `row ${n}`).toBe(1);
      expect(former.size + restored.size).toBe(writers.committed.size + 2 * SEED.length);
      await session.dropStaging();
      await session.dropPrevious(previous);
      await session.close();
    });

    it('find their tables again although one of them made the missing ones anew meanwhile', async () => {
      const { target, session, staging, previous } = await prepare();
      const plan = await session.planSwap({ staging, target, previous });
      const hidden = plan.steps.findIndex((step) => step.name === 'hide-tables') + 1;
      const migrate = async () => {
        await server.query('CREATE TABLE IF NOT EXISTS entry (n int); INSERT INTO entry VALUES (-7)', target);
        await server.query('CREATE TABLE IF NOT EXISTS other (n int)', target);
      };
      const tables = async () =>
        (
          await server.query<{ t: string }>(
            `SELECT TABLE_NAME AS t FROM information_schema.TABLES WHERE TABLE_SCHEMA = '${target}' ORDER BY 1`,
          )
        ).map(({ t }) => t.replace(/\d{13}$/, ''));
      const own = ['audit', 'entry', 'newest', LONG];

      for (const step of plan.steps.slice(0, hidden)) await session.runStep(step, 'apply');
      await migrate();
      for (const step of plan.steps.slice(0, hidden).reverse()) await session.runStep(step, 'revert');
      expect([...(await audited(target))].sort()).toEqual(SEED);
      expect(new Set(await tables())).toEqual(new Set([...own, 'entry__made_', 'other']));

      await server.query('DROP TABLE other', target);
      for (const step of plan.steps.slice(0, hidden)) await session.runStep(step, 'apply');
      await migrate();
      for (const step of plan.steps.slice(hidden)) await session.runStep(step, 'apply');
      expect([...(await audited(target))].sort()).toEqual(SEED);
      // The first one is of the former content and went with it or stayed behind; the second one is nobody's but the application's.
      expect(await tables()).toEqual(expect.arrayContaining([...own, 'entry__made_', 'other']));
      await session.dropStaging();
      await session.dropPrevious(previous);
      await session.close();
    });
  });
}
