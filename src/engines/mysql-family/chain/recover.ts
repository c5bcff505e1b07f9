import { isTidemarkError, TidemarkError } from '../../../domain/errors.js';
import type { RecoverOptions, Sandbox } from '../../chain-engine.js';
import type { EngineContext } from '../../engine.js';
import type { Brand } from '../brand.js';
import type { Session } from '../session.js';
import { rememberEvents, restoreEventStates } from './event-states.js';
import { listDatabases } from './list-databases.js';
import { loadFull } from './load-full.js';
import type { ReplayPlan } from './plan-replay.js';
import { planReplay } from './plan-replay.js';
import { replay } from './replay.js';
import { prepareSandboxPlace } from './sandbox-place.js';
import { requireSandboxPrograms } from './sandbox-programs.js';
import type { SandboxServer } from './sandbox-server.js';
import { createSandboxServer } from './sandbox-server.js';

const nothing: ReplayPlan = {
  files: [],
  start: 0,
  count: 0,
  wanted: '',
  expected: '',
  lastApplied: null,
  firstRefused: null,
  eventStatements: [],
};

/** Transactions that are prepared but not committed at the target are not part of it, and would hold their tables' locks for ever. */
async function rollBackPrepared(session: Session): Promise<void> {
  const mysql = session.connection.engine === 'mysql';
  for (const row of await session.rows(mysql ? 'XA RECOVER CONVERT XID' : "XA RECOVER FORMAT = 'SQL'")) {
    const lengths = [Number(row.gtrid_length), Number(row.bqual_length)] as const;
    const hex = (row.data ?? '').replace(/^0x/, '');
    const xid = mysql
      ? `X'${hex.slice(0, lengths[0] * 2)}',X'${hex.slice(lengths[0] * 2, (lengths[0] + lengths[1]) * 2)}',${Number(row.formatID)}`
      : (row.data ?? '');
    await session.rows(`XA ROLLBACK ${xid}`, [], 'Ending an undecided transaction failed');
  }
}

/**
 * See ChainEngine.recover. The log's files are read before anything is built: a target that cannot be reached costs no sandbox. Files in
 * `logDir` that are applied as a whole become the sandbox user's.
 */
export async function recover(brand: Brand, context: EngineContext, options: RecoverOptions): Promise<Sandbox> {
  const [full, ...others] = options.backups;
  if (full === undefined || others.length > 0 || full.kind !== 'full')
    throw new TidemarkError('sandbox_failed', `Recovery of ${brand.title} starts from exactly one full.`);
  const { target, onPhase } = options;
  const takenAt = full.cluster.takenAt ?? null;
  if (options.logEnd === null && (target.kind === 'time' || target.kind === 'position'))
    throw new TidemarkError('outside_window', 'Without a log archive only the backups themselves can be recovered.');
  const needsLog = target.kind !== 'end_of_backup' && options.logEnd !== null;
  const logFiles = await options.logFiles;
  onPhase('reading the log');
  const plan = needsLog ? await planReplay(brand, { ...options, logFiles }, full, takenAt) : nothing;
  const programs = await requireSandboxPrograms(brand, options.server.major, context.toolRoots);
  onPhase('creating the sandbox');
  const place = await prepareSandboxPlace(brand, programs, options.dir, context);
  let server: SandboxServer | null = null;
  try {
    server = await createSandboxServer(place, full.cluster);
    onPhase('loading the full');
    await loadFull(place, server, full, options.server.major, context);
    const events = await withSandbox(server, rememberEvents);
    await replay(place, server, plan, {
      base: full.endPosition.gtidSet ?? '',
      logDir: options.logDir,
      sizes: new Map(logFiles.map(({ name, bytes }) => [name, bytes])),
      onPhase,
    });
    const databases = await withSandbox(server, async (session) => {
      await rollBackPrepared(session);
      await restoreEventStates(session, events, plan.eventStatements);
      return listDatabases(session);
    });
    return {
      connection: server.connection,
      databases,
      lastApplied: plan.lastApplied,
      firstRefused: plan.firstRefused,
      close: server.kill,
    };
  } catch (error) {
    const words = server?.lastWords() ?? '';
    await server?.kill();
    // Its crash shows as a lost connection here.
    if (
      isTidemarkError(error) &&
      /^(connection_lost|database_unreachable)$/.test(error.code) &&
      !context.signal.aborted
    )
      throw new TidemarkError('sandbox_failed', `${error.message} ${words.slice(-300)}`.trim(), {}, { cause: error });
    throw error;
  }
}

async function withSandbox<T>(server: SandboxServer, work: (session: Session) => Promise<T>): Promise<T> {
  const session = await server.session();
  try {
    return await work(session);
  } finally {
    await session.close();
  }
}
