import type { Child } from '../../../platform/spawn-child.js';
import { spawnChild } from '../../../platform/spawn-child.js';
import type { DatabaseConnection, EngineContext } from '../../engine.js';
import type { Tools } from '../../shared/find-tools.js';
import { toolCommand } from '../../shared/find-tools.js';
import type { Interruption } from '../../shared/log-receiver.js';
import { libpqEnvironment } from '../tools.js';
import { receivingSlot } from './slots.js';
import type { Spool } from './spool.js';

export type LaunchReceiver = {
  readonly connection: DatabaseConnection;
  readonly context: EngineContext;
  readonly tools: Tools;
  readonly spool: Spool;
  readonly slot: string;
};

/**
 * Starts a `pg_receivewal` that fills the spool. It is run without its own restart loop: before each start the slots must be made ready and
 * the server recognised.
 */
export async function launchReceiver(options: LaunchReceiver): Promise<{ child: Child; cleanUp(): Promise<void> }> {
  const { connection, context, tools, spool, slot } = options;
  const libpq = await libpqEnvironment(connection, context, {
    applicationName: 'tidemark archive',
    database: connection.database,
  });
  try {
    const child = spawnChild({
      command: toolCommand(tools, 'pg_receivewal'),
      args: [
        `--directory=${spool.dir}`,
        `--slot=${receivingSlot(slot)}`,
        '--synchronous',
        '--no-loop',
        '--no-password',
        '--status-interval=1',
        // A source behind a cut network would be waited for as long as the system's TCP does, which is hours.
        '--dbname=keepalives_idle=10 keepalives_interval=5 keepalives_count=3 tcp_user_timeout=20000',
      ],
      env: libpq.env,
      stdout: 'ignore',
      label: `pg_receivewal of ${connection.host}`,
      redact: [connection.password],
      signal: context.signal,
    });
    return { child, cleanUp: libpq.cleanUp };
  } catch (error) {
    await libpq.cleanUp();
    throw error;
  }
}

/** Full with room for what arrives until the next look; room again when a part of it was shipped, not at each single segment. */
export async function findFullSpool(spool: Spool, limitBytes: number, wasFull: boolean): Promise<string | null> {
  const { bytes } = await spool.list();
  const least = 2 * spool.segmentBytes;
  const stopAt = Math.max(least, limitBytes - Math.max(4 * spool.segmentBytes, limitBytes / 4));
  return bytes > (wasFull ? Math.max(least, stopAt / 2) : stopAt)
    ? `The spool holds ${bytes} of at most ${limitBytes} bytes; receiving goes on when they were stored.`
    : null;
}

/** libpq and the server say the reason last; the program adds that it is disconnected, whatever the reason was. */
export function lastError(stderr: string): string {
  const lines = stderr.split('\n').filter((line) => line.trim() !== '');
  const errors = lines.filter((line) => /error|FATAL/i.test(line) && !/error: disconnected$/.test(line.trim()));
  return (errors.at(-1) ?? lines.at(-1) ?? 'no further message').replace(/^pg_receivewal: /, '').trim();
}

export function interruptionIn(stderr: string): Interruption | null {
  if (/requested WAL segment \S+ has already been removed/.test(stderr)) return 'removed';
  if (/is not in this server's history|timeline \d+ .*not .*history/.test(stderr)) return 'other_history';
  return null;
}
