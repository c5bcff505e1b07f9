import { expect, it } from 'vitest';
import { TidemarkError } from '../../src/domain/errors.js';
import { compareFingerprints } from '../../src/domain/fingerprint.js';
import { newId } from '../../src/domain/ids.js';
import type { RestoreSession, SwapPlan } from '../../src/engines/engine.js';
import { getEngine } from '../../src/engines/registry.js';
import { runSwap } from '../../src/recovery/swap.js';
import { describeEngine, uniqueName, useEngine } from '../support/engine-servers.js';
import { connectionTo, partsOf, takeDump, useContext } from './contract.js';

describeEngine('mysql', 'a swap whose undoing was cut off', () => {
  const server = useEngine('mysql');
  const context = useContext();
  const open = (restoreId: string, attempt: number) =>
    getEngine('mysql').openRestore(connectionTo(server, 'any'), context(), { restoreId, attempt });

  it('is finished with the restored tables, not with the former ones, once its obstacle is gone', async () => {
    const source = await server.createDatabase();
    await server.query('CREATE TABLE item (id int PRIMARY KEY, text varchar(20))', source);
    await server.query("INSERT INTO item VALUES (1, 'restored')", source);
    const dump = await takeDump(connectionTo(server, source), context());
    const target = await server.createDatabase();
    await server.query('CREATE TABLE item (id int PRIMARY KEY, text varchar(20))', target);
    await server.query("INSERT INTO item VALUES (1, 'former')", target);
    const gate = uniqueName('gate');

    const restoreId = newId('restore');
    const first = await open(restoreId, 1);
    const staging = await first.createStaging(dump.print);
    await first.load(staging, partsOf(dump));
    const previous = `${target}__before_${restoreId}`;
    const planned = await first.planSwap({ staging, target, previous });
    // Fails for as long as its table is not there, as a step does that meets an obstacle on the server.
    const obstacle = {
      name: 'obstacle',
      database: null,
      apply: [`INSERT INTO ${gate}.passed VALUES (1)`],
      revert: [`DELETE FROM ${gate}.passed`],
      probe: `SELECT COUNT(*) FROM ${gate}.passed`,
    };
    const plan: SwapPlan = { ...planned, steps: [...planned.steps, obstacle] };
    const journal = { applied: 0, state: 'open' };
    const store = {
      recordApplied: async (applied: number) => {
        journal.applied = applied;
      },
      finish: async (outcome: { state: string }) => {
        journal.state = outcome.state;
        return { shutOutSeconds: 0 };
      },
    };
    const cutOff: RestoreSession = {
      ...first,
      runStep: async (step, direction) => {
        await first.runStep(step, direction);
        if (direction === 'revert' && step.apply.some((text) => text.startsWith('RENAME TABLE')))
          throw new TidemarkError('connection_lost', 'The move back was done, its answer never came.');
      },
    };
    await expect(runSwap({ session: cutOff, plan, applied: 0, store })).rejects.toThrow('its answer never came');
    expect(journal.state).toBe('open');
    await first.close();

    await server.query(`CREATE DATABASE ${gate}`);
    await server.query(`CREATE TABLE ${gate}.passed (id int)`);
    const second = await open(restoreId, 2);
    await runSwap({ session: second, plan, applied: journal.applied, store });
    expect(journal.state).toBe('done');
    expect(compareFingerprints(dump.print, await second.fingerprint(target))).toEqual([]);
    expect(await server.query('SELECT text FROM item', previous)).toEqual([{ text: 'former' }]);
    await second.dropStaging();
    await second.dropPrevious(previous);
    await second.close();
    await server.dropDatabase(gate);
  });
});
