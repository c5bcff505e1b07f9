/** The configuration file of a sandbox, the only one it reads. Pure. */

export type ControlData = {
  /** `pg:<number>` */
  readonly identity: string;
  readonly segmentBytes: number;
  readonly blockBytes: number;
  readonly maxConnections: number;
  readonly maxPrepared: number;
  readonly maxLocks: number;
};

/** Reads what pg_controldata prints (in English). Throws when it is something else. */
export function parseControlData(text: string): ControlData {
  const read = (label: string): string => {
    const line = text.split('\n').find((entry) => entry.startsWith(`${label}:`));
    if (line === undefined) throw new Error(`pg_controldata does not tell ${label}`);
    return line.slice(label.length + 1).trim();
  };
  return {
    identity: `pg:${read('Database system identifier')}`,
    segmentBytes: Number(read('Bytes per WAL segment')),
    blockBytes: Number(read('Database block size')),
    maxConnections: Number(read('max_connections setting')),
    maxPrepared: Number(read('max_prepared_xacts setting')),
    maxLocks: Number(read('max_locks_per_xact setting')),
  };
}

/** A value of postgresql.conf. */
const quoteSetting = (value: string) => `'${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;

/** A word of the shell command inside `restore_command`, where `%` stands for names of files. */
const quoteShell = (value: string) => `'${value.replaceAll("'", "'\\''")}'`.replaceAll('%', '%%');

/**
 * Gives the server a log file when it is there; one that is not is an answer (1), no error. As a second name of the same file, which it only reads:
 * a copy would take the time and the space once more. `wal_recycle` off, so that it writes to none.
 */
export function restoreCommand(logDir: string | null): string {
  if (logDir === null) return 'false';
  const source = `${quoteShell(logDir)}/%f`;
  return `test -f ${source} && { ln ${source} "%p" 2>/dev/null || cp ${source} "%p"; }`;
}

const SESSIONS = 50;

/**
 * Everything that a foreign configuration could make dangerous or impossible here is fixed: no network, no libraries of others, no archiving,
 * no subscriptions (a recovered subscriber would take changes from the live publisher), no event triggers at login.
 */
export function sandboxSettings(options: {
  readonly major: number;
  readonly control: ControlData;
  readonly socketDir: string;
  readonly hbaFile: string;
  readonly logDir: string | null;
  readonly target: Readonly<Record<string, string>>;
}): string {
  const { control, major } = options;
  // As many locks as the source had room for in all, and enough to dump a database of many tables.
  const locks = Math.max(
    2_000,
    Math.ceil((control.maxLocks * (control.maxConnections + control.maxPrepared)) / SESSIONS),
  );
  const segmentMb = control.segmentBytes / 1024 / 1024;
  const settings: Record<string, string> = {
    listen_addresses: '',
    port: '5432',
    unix_socket_directories: options.socketDir,
    unix_socket_permissions: '0700',
    hba_file: options.hbaFile,
    ident_file: '/dev/null',
    external_pid_file: '',
    max_connections: String(SESSIONS),
    max_locks_per_transaction: String(Math.min(locks, 20_000)),
    max_prepared_transactions: String(Math.max(control.maxPrepared, 64)),
    // Below the source's values recovery is allowed only while nobody can log in; here nobody can before its end.
    hot_standby: 'off',
    max_wal_senders: '0',
    // Not none: the log may say how far subscriptions have come.
    max_replication_slots: '100',
    max_logical_replication_workers: '0',
    archive_mode: 'off',
    archive_command: '',
    primary_conninfo: '',
    primary_slot_name: '',
    ssl: 'off',
    shared_preload_libraries: '',
    session_preload_libraries: '',
    local_preload_libraries: '',
    logging_collector: 'off',
    log_destination: 'stderr',
    log_line_prefix: '',
    log_min_messages: 'warning',
    // Statements would carry content into messages.
    log_min_error_statement: 'panic',
    log_timezone: 'UTC',
    timezone: 'UTC',
    lc_messages: 'C',
    lc_monetary: 'C',
    lc_numeric: 'C',
    lc_time: 'C',
    // It is thrown away in the end.
    fsync: 'off',
    full_page_writes: 'off',
    synchronous_commit: 'off',
    autovacuum: 'off',
    checkpoint_timeout: '30min',
    // Both at least two segments, else it does not start; the usual values are too small for large segments.
    min_wal_size: `${Math.max(80, 2 * segmentMb)}MB`,
    max_wal_size: `${Math.max(1024, 2 * segmentMb)}MB`,
    jit: 'off',
    huge_pages: 'off',
    shared_buffers: '128MB',
    restart_after_crash: 'off',
    restore_command: restoreCommand(options.logDir),
    wal_recycle: 'off',
    recovery_target_action: 'promote',
    ...(major >= 15
      ? {
          archive_library: '',
          log_startup_progress_interval: '10s',
          // Tablespaces lie in the data directory here, where recovery would take them for what a crash left.
          allow_in_place_tablespaces: 'on',
        }
      : {}),
    ...(major >= 17 ? { summarize_wal: 'off', event_triggers: 'off' } : {}),
    ...(major >= 18 ? { max_active_replication_origins: '100' } : {}),
    ...options.target,
  };
  return Object.entries(settings)
    .map(([name, value]) => `${name} = ${quoteSetting(value)}\n`)
    .join('');
}
