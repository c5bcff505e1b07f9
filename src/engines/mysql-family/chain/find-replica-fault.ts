import { setTimeout as sleep } from 'node:timers/promises';
import type { DatabaseConnection, EngineContext } from '../../engine.js';
import type { Brand } from '../brand.js';
import { readServer } from '../server.js';
import type { Session } from '../session.js';
import { withSession } from '../session.js';
import { filterOf, replicationOf } from './replication.js';

const LOOK_MS = 500;

/** See ChainEngine.findReplicaFault. */
export async function findReplicaFault(
  brand: Brand,
  replica: DatabaseConnection,
  context: EngineContext,
  options: { readonly primary: DatabaseConnection; readonly withinMs: number },
): Promise<string | null> {
  const how = { database: null, name: 'tidemark check', signal: context.signal };
  return withSession(options.primary, how, (primary) =>
    withSession(replica, how, async (session) => {
      const fault = (await notOf(brand, primary, session)) ?? (await strangerIn(brand, primary, session));
      return fault ?? (await waitFor(brand, primary, session, options.withinMs, context.signal));
    }),
  );
}

/** Why the server does not replicate everything of this primary; null when it does. */
async function notOf(brand: Brand, primary: Session, replica: Session): Promise<string | null> {
  const how = replicationOf(brand);
  const [wanted, found] = [await readServer(primary, brand), await readServer(replica, brand)];
  if (wanted.major !== found.major) return `it is ${brand.title} ${found.major}, its primary ${wanted.major}`;
  const [row, ...others] = await replica.rows(how.status, [], 'Asking how the replica replicates failed');
  if (row === undefined) return 'it does not replicate';
  if (others.length > 0) return 'it replicates from several servers';
  const source = await primary.value(how.ownName);
  if (how.sourceOf(row) !== source)
    return `it replicates from another server (${how.sourceOf(row) || 'unknown'}) than its registered primary (${source})`;
  if (!how.isReceiving(row) || !how.isApplying(row)) return 'its replication does not run';
  const filter = filterOf(row);
  return filter === null ? null : `it leaves something out: ${filter}`;
}

/** Transactions that its primary never had make it another server's copy, or one that was written to. */
async function strangerIn(brand: Brand, primary: Session, replica: Session): Promise<string | null> {
  const how = replicationOf(brand);
  // The replica first: the primary goes on meanwhile, never the other way round.
  const held = [await how.logged(replica), await how.applied(replica)].filter((text) => text !== '').join(',');
  const stranger = how.lacking(await how.executed(primary), held);
  return stranger === null ? null : `it holds transactions that its primary does not have: ${stranger}`;
}

async function waitFor(
  brand: Brand,
  primary: Session,
  replica: Session,
  withinMs: number,
  signal: AbortSignal,
): Promise<string | null> {
  const how = replicationOf(brand);
  const wanted = (await brand.position(primary)).gtidSet ?? '';
  const end = Date.now() + withinMs;
  for (;;) {
    const missing = how.behind(await how.applied(replica), wanted);
    if (missing === null) return null;
    if (Date.now() > end) return `it is too far behind, and lacks ${missing}`;
    await sleep(LOOK_MS, undefined, { signal });
  }
}
