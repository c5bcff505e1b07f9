/** After a fail-over the former primary comes back while its successor is away: it must not pass for the source of the archive. */
import { mkdirSync } from 'node:fs';
import { afterAll, expect, test } from 'vitest';
import { chooseSource } from '../../src/activities/archive/choose-source.js';
import { raiseArchiveToken, readArchiveRun } from '../../src/catalog/runs/archive-run.js';
import { insertSlices } from '../../src/catalog/runs/slices.js';
import type { LogPosition } from '../../src/domain/positions.js';
import { getChainEngine } from '../../src/engines/chain-registry.js';
import { activityDeps } from '../support/activity-deps.js';
import { archiveServer } from '../support/archived-server.js';
import { describeEngine, usePrivateEngine } from '../support/engine-servers.js';
import { registerReplica } from '../support/register-replica.js';
import { useRunStack } from '../support/run-stack.js';
import type { PostgresCopy } from '../support/start-standby.js';
import { copyPostgres } from '../support/start-standby.js';

const bytes = { offset: 0, bytes: 1, storedBytes: 1, endsFile: false, sha256: 'x', previous: null, recordSha256: 'x' };
const times = { firstCommitAt: null, lastCommitAt: null, coversTo: null };

describeEngine('pg17', 'a former primary that comes back', () => {
  const source = usePrivateEngine('pg17');
  const stack = useRunStack();
  let successor: PostgresCopy | undefined;
  afterAll(async () => await successor?.remove());

  test('is not followed, nor backed up, while the server whose timeline is stored does not answer', async () => {
    const engine = getChainEngine('postgresql');
    const server = await archiveServer(stack, source, engine, { schema: 'create table t (n int)' });
    const copy = await copyPostgres(source, { standby: true });
    successor = copy;
    await copy.start();
    const { prisma } = stack.catalog;
    const replicaId = await registerReplica(stack, server, source, copy);
    await copy.query('select pg_promote()');

    const deps = activityDeps(stack);
    mkdirSync(deps.options.scratchRoot, { recursive: true });
    const step = { signal: new AbortController().signal, scratchDir: deps.options.scratchRoot, report: () => {} };
    const choose = async () => await chooseSource(deps, step, await readArchiveRun(stack.catalog, server.chainId));
    const store = async (seq: number, end: LogPosition) => {
      const { token, epoch } = await raiseArchiveToken(stack.catalog, server.chainId);
      const [file, startPosition] = [`file-${seq}`, end];
      const keys = { recordKey: `${server.chainId}/${seq}.json`, objectKey: `${server.chainId}/${seq}` };
      const slice = { ...bytes, ...times, ...keys, fromSeq: seq, seq, file, startPosition, endPosition: end };
      await insertSlices(stack.catalog, { chainId: server.chainId, epoch, token }, [slice]);
    };

    await store(1, { lsn: '0/3000000', timeline: 1 });
    expect((await choose()).database.id).toBe(server.database.id);

    // The archive went on there, on the timeline that began with the promotion.
    await store(2, { lsn: '0/3000100', timeline: 2 });
    await prisma.chain.update({ where: { id: server.chainId }, data: { sourceDatabaseId: replicaId } });
    expect((await choose()).database.id).toBe(replicaId);

    await copy.kill();
    await expect(choose()).rejects.toMatchObject({ code: 'database_unreachable' });
  });
});
