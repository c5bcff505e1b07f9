import type { LogPosition, ServerIdentity } from '../../../domain/positions.js';
import { asOfTakeover, takeoverOf } from '../../../domain/takeover-files.js';
import type { LogFollowerOptions } from '../../log-follower.js';
import type { Brand } from '../brand.js';
import { replicationOf } from '../chain/replication.js';
import type { Session } from '../session.js';
import { historyOf, successionError } from './judge-successor.js';
import { findFileOf } from './prove-takeover.js';
import type { StoredTail } from './stored-tail.js';
import { readStoredTail } from './stored-tail.js';

/** What a server that took over is followed from, and what it has to prove before anything of it is stored. */
export type Takeover = {
  /** The file of its log with which it goes on: the last stored transactions are in it, or from it on. As the stored log is to call it. */
  readonly file: string;
  readonly stored: LogPosition;
  readonly tail: StoredTail;
  readonly end: LogPosition;
};

/**
 * Prepares to go on in the log of another server than the one whose log is stored. Throws `log_gap` when it is plain that this cannot be done: it lacks
 * something that is stored, or has removed its log of that time.
 */
export async function openTakeover(
  session: Session,
  brand: Brand,
  resume: NonNullable<LogFollowerOptions['resume']>,
  server: ServerIdentity,
): Promise<Takeover> {
  const refuse = (why: string) => successionError(session, brand, resume, server, why);
  const stored = resume.position.gtidSet ?? '';
  const lacks = replicationOf(brand).lacking(await historyOf(session, brand), stored);
  if (lacks !== null) throw await refuse(`it lacks ${lacks}`);
  const tail = await readStoredTail(brand.kind, resume);
  const [first, last] = [tail?.transactions[0], tail?.transactions.at(-1)];
  if (tail === null || first === undefined || last === undefined)
    throw await refuse('nothing of the stored log is there to compare it with');
  const end = await brand.position(session);
  // From the first of them on if it is still there, else what there is of them, but for the last one.
  const find = async () =>
    (await findFileOf(session, brand, first.gtid)) ?? (await findFileOf(session, brand, last.gtid));
  const file = await find().catch(() => undefined);
  if (file === undefined || end.file === undefined) throw await refuse('the role may not see which log files it has');
  if (file === null) throw await refuse(`it does not have its log of ${last.gtid} any more`);
  const takeover = takeoverOf(resume.cursor.file) + 1;
  return { file: asOfTakeover(takeover, file), stored: resume.position, tail, end };
}
