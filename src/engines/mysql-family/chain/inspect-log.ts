import type { CheckFinding } from '../../engine.js';
import type { Brand } from '../brand.js';
import { serverErrorNumber } from '../failures.js';
import type { Session } from '../session.js';

/** A log that the server deletes sooner cannot be caught up with after a weekend, in seconds. */
const SHORT_EXPIRY_SECONDS = 86_400;

/** Null when this server does not know the variable. */
async function variable(session: Session, name: string): Promise<string | null> {
  try {
    return Object.values((await session.raw(`SELECT @@global.${name} AS value`))[0] ?? {})[0] ?? null;
  } catch (error) {
    if (serverErrorNumber(error) === 1193) return null;
    throw error;
  }
}

/** What the binary log must be like for increments and points in time. `severity` is what a lack means for the policy's wish. */
export async function inspectLog(
  session: Session,
  brand: Brand,
  role: 'primary' | 'replica',
  severity: 'refuses' | 'info',
): Promise<CheckFinding[]> {
  const findings: CheckFinding[] = [];
  const say = (
    code: string,
    message: string,
    statement: string | null = null,
    how: CheckFinding['severity'] = severity,
  ) => findings.push({ severity: how, code, message, statement });
  const set = (name: string, value: string) =>
    `SET ${brand.kind === 'mysql' ? 'PERSIST' : 'GLOBAL'} ${name} = ${value};`;
  if ((await variable(session, 'log_bin')) !== '1') {
    say(
      'binary_log_off',
      'The server writes no binary log: start it with log_bin. Until then only fulls are possible.',
    );
    return findings;
  }
  const format = await variable(session, 'binlog_format');
  if (format !== null && format !== 'ROW')
    say(
      'binlog_format',
      `binlog_format is ${format}: statements give other rows when they are run again.`,
      set('binlog_format', "'ROW'"),
    );
  const image = await variable(session, 'binlog_row_image');
  if (image !== 'FULL')
    say('binlog_row_image', `binlog_row_image is ${image}; whole rows are needed.`, set('binlog_row_image', "'FULL'"));
  if (brand.kind === 'mysql') {
    const mode = await variable(session, 'gtid_mode');
    if (mode !== 'ON')
      say(
        'gtid_mode',
        `gtid_mode is ${mode}: without GTIDs a recovery cannot tell where it stands. Turn it on in the server's own four steps.`,
        'SET PERSIST enforce_gtid_consistency = ON; SET PERSIST gtid_mode = OFF_PERMISSIVE; SET PERSIST gtid_mode = ON_PERMISSIVE; SET PERSIST gtid_mode = ON;',
      );
  }
  const [status] = await session
    .raw(brand.kind === 'mysql' ? 'SHOW BINARY LOG STATUS' : 'SHOW MASTER STATUS')
    .catch(() => []);
  const filters = [status?.Binlog_Do_DB, status?.Binlog_Ignore_DB].filter(Boolean);
  if (filters.length > 0)
    say(
      'binlog_filters',
      `The binary log is filtered (${filters.join('; ')}): what is left out could not be recovered. Remove binlog-do-db and binlog-ignore-db.`,
    );
  const encrypted = await variable(session, brand.kind === 'mysql' ? 'binlog_encryption' : 'encrypt_binlog');
  if (encrypted === '1')
    say(
      'binlog_encryption',
      'The binary log is encrypted on the server; a replay of encrypted files is not supported.',
      brand.kind === 'mysql' ? 'SET PERSIST binlog_encryption = OFF;' : null,
    );
  if (
    role === 'replica' &&
    (await variable(session, brand.kind === 'mysql' ? 'log_replica_updates' : 'log_slave_updates')) !== '1'
  )
    say('log_replica_updates', 'This replica does not write what it applies into its own binary log.');
  const expiry = Number((await variable(session, 'binlog_expire_logs_seconds')) ?? 0);
  if (expiry > 0 && expiry < SHORT_EXPIRY_SECONDS)
    say(
      'binlog_expiry',
      `The server deletes its binary log after ${expiry} s: an interruption of that length leaves a gap.`,
      set('binlog_expire_logs_seconds', String(3 * SHORT_EXPIRY_SECONDS)),
      'warns',
    );
  return findings;
}
