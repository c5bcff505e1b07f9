import { setTimeout as sleep } from 'node:timers/promises';
import type { CheckFinding, DatabaseConnection, EngineContext } from '../../engine.js';
import type { Session } from '../connect.js';
import { connect } from '../connect.js';
import { mapQueryError } from '../map-error.js';
import { readServer } from '../server.js';
import { SUMMARIES_OFF, TURN_ON_SUMMARIES } from './find-log-findings.js';
import { INCREMENTAL_FROM } from './programs.js';

const LOOK_MS = 100;
/** A reload reaches a session with its next statement; the server may be busy. */
const RELOAD_MS = 5_000;

/**
 * Turns on the WAL summaries that incrementals are made from, before the full that they will build on, where the role may: a superuser, or one
 * with ALTER SYSTEM on the parameter and EXECUTE on pg_reload_conf(). Takes effect without a restart. Answers with a finding that says
 * what was changed, or the statement that a person has to run.
 */
export async function configureIncrementals(
  connection: DatabaseConnection,
  context: EngineContext,
): Promise<readonly CheckFinding[]> {
  const session = await connect(connection, { signal: context.signal, applicationName: 'tidemark incrementals' });
  try {
    const { server } = await readServer(session);
    if (Number(server.major) < INCREMENTAL_FROM || (await areOn(session))) return [];
    if (!(await turnOn(session))) return [SUMMARIES_OFF];
    return [
      {
        severity: 'info',
        code: 'summarize_wal_turned_on',
        message:
          'summarize_wal was off. It was turned on (ALTER SYSTEM), so that the server knows what changed and incrementals can be taken.',
        statement: null,
      },
    ];
  } catch (error) {
    throw mapQueryError(error, connection, `Turning on WAL summaries of ${connection.host} failed`, 'internal');
  } finally {
    await session.close();
  }
}

async function areOn(session: Session): Promise<boolean> {
  return (await session.value("SELECT pg_catalog.current_setting('summarize_wal')")) === 'on';
}

/** False when the role may not, or the server does not take it: a setting on its command line wins. */
async function turnOn(session: Session): Promise<boolean> {
  try {
    for (const statement of TURN_ON_SUMMARIES) await session.run(statement);
  } catch (error) {
    if ((error as { code?: unknown }).code === '42501') return false;
    throw error;
  }
  for (const end = Date.now() + RELOAD_MS; Date.now() < end; await sleep(LOOK_MS)) {
    if (await areOn(session)) return true;
  }
  return false;
}
