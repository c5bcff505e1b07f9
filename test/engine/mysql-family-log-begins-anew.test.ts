/** The end of a log that was begun anew must never be taken for one that the store has reached. */
import { expect, it } from 'vitest';
import { describeEngine } from '../support/engine-servers.js';
import { until } from '../support/until.js';
import { useSource } from './mysql-family-archive-source.js';
import { familyProducts } from './mysql-family-chain-support.js';

for (const product of familyProducts) {
  describeEngine(product, `a log of ${product} that is begun anew`, () => {
    const source = useSource(product);
    const { server, context, engine } = source;
    const end = async () => (await engine.readLogEnd(source.connection(), context())).position;

    it('is told from one that goes on, over rotations of an idle server and of a busy one', async () => {
      const run = await source.follow(source.newArchive());
      await run.catchUp();
      const judge = async () => {
        const stored = run.position() ?? {};
        return run.follower.wentBack?.(await end(), stored);
      };
      await source.rotate();
      await until(() => run.position()?.file === source.newestFile(), 'the new file to be stored');
      expect(await judge()).toBe(false);
      for (let round = 0; round < 15; round += 1) {
        await source.fill(20);
        expect(await judge()).toBe(false);
        if (round % 5 === 4) await source.rotate();
        expect(await judge()).toBe(false);
      }
      await run.stop();
    });

    it('is seen at the first look after the RESET, before the receiver notices', async () => {
      const run = await source.follow(source.newArchive());
      await source.rotate();
      await source.fill(20);
      await run.catchUp();
      const stored = run.position() ?? {};
      await server.query(product === 'mysql' ? 'RESET BINARY LOGS AND GTIDS' : 'RESET MASTER');
      expect(run.follower.wentBack?.(await end(), stored)).toBe(true);
      await source.fill(3);
      expect(run.follower.wentBack?.(await end(), stored)).toBe(true);
      await until(() => run.failure() !== null, 'the gap to be found', 60_000);
      expect(run.failure()).toMatchObject({ code: 'log_gap', details: { gap: { from: stored } } });
      await run.stop();
    });
  });
}
