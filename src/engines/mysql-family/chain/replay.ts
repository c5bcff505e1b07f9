import { linkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { TidemarkError } from '../../../domain/errors.js';
import { giveTo } from '../../../platform/run-as.js';
import { quoteText } from '../quote.js';
import type { Session } from '../session.js';
import { copyWanted, wantedBytes } from './copy-wanted.js';
import type { ReplayPlan } from './plan-replay.js';
import type { SandboxPlace } from './sandbox-place.js';
import type { SandboxServer } from './sandbox-server.js';

const POLL_MS = 200;
/** First number of our files: the server makes some of its own before. */
const FIRST = 101;

const relayName = (index: number) => `relay.${String(FIRST + index).padStart(6, '0')}`;

/**
 * Puts the stored files into the server's folder of relay logs: whole ones as another name of the same file, those that are not applied to
 * their end as a copy of what is. What lies after the target never reaches the server.
 */
async function placeLogs(
  place: SandboxPlace,
  folder: string,
  logDir: string,
  plan: ReplayPlan,
  sizes: Map<string, number>,
) {
  for (const [index, file] of plan.files.entries()) {
    const { name, bytes, skip } = file;
    const from = join(logDir, name);
    const to = join(folder, relayName(index));
    if (skip === null && bytes === sizes.get(name) && link(from, to)) {
      giveTo(place.user, to);
      continue;
    }
    await copyWanted(from, to, file);
    giveTo(place.user, to);
  }
}

function link(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    // Another file system, or one without links.
    if (['EXDEV', 'EPERM', 'ENOTSUP', 'EMLINK'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
}

type Applier = {
  /** Before the logs are in place. */
  prepare(session: Session): Promise<void>;
  readonly folder: string;
  readonly indexPrefix: string;
  begin(session: Session): Promise<void>;
  /** Null while it works; '' when it has stopped by itself, else its error. */
  stopped(session: Session): Promise<string | null>;
  position(session: Session): Promise<string>;
  end(session: Session): Promise<void>;
};

function mysqlApplier(place: SandboxPlace, plan: ReplayPlan, base: string): Applier {
  return {
    folder: place.relay,
    indexPrefix: `${place.relay}/`,
    prepare: async (session) => {
      await session.rows('RESET BINARY LOGS AND GTIDS', [], 'Preparing the replay failed');
      if (base !== '')
        await session.rows(`SET GLOBAL gtid_purged = ${quoteText(base)}`, [], 'Preparing the replay failed');
      await session.rows(
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = 1, SOURCE_USER = 'nobody'",
      );
    },
    begin: async (session) => {
      const file = quoteText(join(place.relay, relayName(0)));
      await session.rows(`CHANGE REPLICATION SOURCE TO RELAY_LOG_FILE = ${file}, RELAY_LOG_POS = 4`);
      await session.rows(`START REPLICA SQL_THREAD UNTIL SQL_AFTER_GTIDS = ${quoteText(plan.wanted)}`);
    },
    stopped: async (session) => {
      const errors = await session.rows(
        `SELECT LAST_ERROR_MESSAGE AS message FROM performance_schema.replication_applier_status_by_worker WHERE LAST_ERROR_NUMBER <> 0
         UNION ALL SELECT LAST_ERROR_MESSAGE FROM performance_schema.replication_applier_status_by_coordinator WHERE LAST_ERROR_NUMBER <> 0`,
      );
      const state = await session.value('SELECT SERVICE_STATE FROM performance_schema.replication_applier_status');
      return state === 'ON' ? null : (errors[0]?.message ?? '');
    },
    position: async (session) => ((await session.value('SELECT @@global.gtid_executed')) ?? '').replaceAll('\n', ''),
    end: async (session) => {
      await session.rows('RESET REPLICA ALL');
    },
  };
}

function mariadbApplier(place: SandboxPlace, plan: ReplayPlan, base: string): Applier {
  const last = plan.files.length - 1;
  const end = wantedBytes(plan.files[last]);
  return {
    folder: place.data,
    indexPrefix: './',
    prepare: async (session) => {
      await session.rows(`SET GLOBAL gtid_slave_pos = ${quoteText(base)}`, [], 'Preparing the replay failed');
      await session.rows(
        "CHANGE MASTER TO master_host = '127.0.0.1', master_port = 1, master_user = 'nobody', master_use_gtid = no",
      );
    },
    begin: async (session) => {
      await session.rows(`CHANGE MASTER TO relay_log_file = '${relayName(0)}', relay_log_pos = ${plan.start}`);
      await session.rows(`START SLAVE SQL_THREAD UNTIL relay_log_file = '${relayName(last)}', relay_log_pos = ${end}`);
    },
    stopped: async (session) => {
      const [status] = await session.rows('SHOW SLAVE STATUS');
      return status?.Slave_SQL_Running === 'Yes' ? null : (status?.Last_SQL_Error ?? '');
    },
    position: async (session) => (await session.value('SELECT @@global.gtid_slave_pos')) ?? '',
    end: async (session) => {
      await session.rows('RESET SLAVE ALL');
    },
  };
}

/**
 * Applies the planned part of the log as the server's own relay logs, and requires that it stands exactly where planned afterwards. Throws
 * `recovery_incomplete` with the applier's message otherwise.
 */
export async function replay(
  place: SandboxPlace,
  server: SandboxServer,
  plan: ReplayPlan,
  options: {
    readonly base: string;
    readonly logDir: string;
    readonly sizes: Map<string, number>;
    readonly onPhase: (phase: string) => void;
  },
): Promise<void> {
  if (plan.count === 0) return;
  const applier = (place.brand.kind === 'mysql' ? mysqlApplier : mariadbApplier)(place, plan, options.base);
  const before = await server.session();
  try {
    await applier.prepare(before);
  } finally {
    await before.close();
  }
  // The index is read at a start; until then only the server's own first relay log stands in it, which must stay.
  await server.stop();
  await placeLogs(place, applier.folder, options.logDir, plan, options.sizes);
  const index = join(applier.folder, 'relay.index');
  writeFileSync(index, plan.files.map((_, at) => `${applier.indexPrefix}${relayName(at)}\n`).join(''), { flag: 'a' });
  await server.start();
  options.onPhase(`replaying ${plan.count} transactions`);
  const session = await server.session();
  try {
    await applier.begin(session);
    for (;;) {
      await sleep(POLL_MS, undefined, { signal: place.signal }).catch(() => {});
      if (place.signal.aborted) throw new TidemarkError('cancelled', 'The run was cancelled.');
      const error = await applier.stopped(session);
      if (error === null) continue;
      const reached = await applier.position(session);
      if (error !== '')
        throw new TidemarkError(
          'recovery_incomplete',
          `The replay of the log stopped at ${reached || 'its beginning'}: ${error.slice(0, 500)}`,
        );
      if (!samePosition(reached, plan.expected))
        throw new TidemarkError(
          'recovery_incomplete',
          `The replay of the log ended at ${reached}, not at ${plan.expected}.`,
        );
      break;
    }
    await applier.end(session);
  } finally {
    await session.close();
  }
}

const samePosition = (a: string, b: string) =>
  a
    .split(',')
    .map((part) => part.trim())
    .sort()
    .join() ===
  b
    .split(',')
    .map((part) => part.trim())
    .sort()
    .join();
