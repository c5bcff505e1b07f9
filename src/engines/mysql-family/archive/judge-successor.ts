import { TidemarkError } from '../../../domain/errors.js';
import type { LogPosition, ServerIdentity } from '../../../domain/positions.js';
import type { DatabaseConnection, EngineContext } from '../../engine.js';
import { GtidSet } from '../binlog/gtid-set.js';
import type { Brand } from '../brand.js';
import { replicationOf } from '../chain/replication.js';
import type { Session } from '../session.js';
import { withSession } from '../session.js';
import { describePosition } from './binlog-reader.js';

/** Everything that a server has executed, as far as it knows: what it received, and what it logged itself. */
export async function historyOf(session: Session, brand: Brand): Promise<string> {
  const how = replicationOf(brand);
  return [await how.logged(session), await how.applied(session)].filter((text) => text !== '').join(',');
}

/** Whether transactions of a server are in a history. Server uuids, and MariaDB's domains and ids, stand in its GTIDs. */
function holdsOf(brand: Brand, former: string, history: string): boolean {
  const [, id = '', domain = ''] = former.split(':');
  if (id === '') return false;
  if (brand.kind === 'mysql') return history.toLowerCase().includes(id.toLowerCase());
  return history.split(',').some((gtid) => domain.split(',').some((own) => gtid.trim().startsWith(`${own}-${id}-`)));
}

/** See ChainEngine.judgeSuccessor. */
export async function judgeSuccessor(
  brand: Brand,
  connection: DatabaseConnection,
  context: EngineContext,
  { former, stored }: { readonly former: string; readonly stored: LogPosition | null },
): Promise<{ readonly isSuccessor: boolean; readonly lacks: string | null }> {
  const options = { database: null, name: 'tidemark archive', signal: context.signal };
  return withSession(connection, options, async (session) => {
    const history = await historyOf(session, brand);
    const isSuccessor = holdsOf(brand, former, history) && (await brand.isReplica(session)) === false;
    return { isSuccessor, lacks: replicationOf(brand).lacking(history, stored?.gtidSet ?? '') };
  });
}

/**
 * The stored log of one server ends, and that of its successor does not go on with it: why not (a sentence's end), and what lies between, as far
 * as their GTIDs tell.
 */
export async function successionError(
  session: Session,
  brand: Brand,
  resume: { readonly server: ServerIdentity; readonly position: LogPosition },
  server: ServerIdentity,
  why: string,
): Promise<TidemarkError> {
  const to = await brand.position(session);
  const history = await historyOf(session, brand);
  const stored = resume.position.gtidSet ?? '';
  const lacks = replicationOf(brand).lacking(history, stored);
  const sentences = [
    `${server.identity} has taken the place of ${resume.server.identity}, whose log is stored up to ${describePosition(resume.position)}.`,
    lacks === null
      ? 'It has everything that is stored.'
      : `It never had ${lacks}: these transactions were committed by the former server and lost with it, and are only in the stored log.`,
    between(brand, stored, history),
    `Its own log, at ${describePosition(to)} now, cannot be joined to the stored one: ${why}. Moments after the stored end are restorable from the full on that begins the new stretch.`,
  ];
  return new TidemarkError('log_gap', sentences.filter((text) => text !== '').join(' '), {
    gap: { from: resume.position, to },
  });
}

/** MariaDB's positions name the last transactions only. */
function between(brand: Brand, stored: string, history: string): string {
  if (brand.kind !== 'mysql') return '';
  const missing = GtidSet.parse(stored).missing(GtidSet.parse(history));
  return missing.isEmpty ? 'Nothing was committed since.' : `Not in the stored log: ${missing.toString()}.`;
}
