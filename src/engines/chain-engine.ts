import type { EngineKind } from '../domain/engine-kinds.js';
import type { Fingerprint } from '../domain/fingerprint.js';
import type { LogPosition, ServerIdentity } from '../domain/positions.js';
import type { RecoveryTarget, StopPoint } from '../domain/recovery-target.js';
import type { CheckFinding, DatabaseConnection, DumpPart, EngineContext } from './engine.js';
import type { LogFollower, LogFollowerOptions } from './log-follower.js';

/**
 * What an engine does for a whole server: fulls, incrementals, the log archive and recovery in a sandbox (design sections 4 and 5).
 * `DatabaseConnection.database` names one database of the server; what concerns the whole server uses it only to connect.
 */
export interface ChainEngine {
  readonly kind: EngineKind;
  /** `physical`: blocks changed since the parent. `log`: the archived log since the parent; then nothing is read from the source. */
  incrementalKind(server: ServerIdentity): 'physical' | 'log';
  /**
   * Tools, privileges, log settings, and whether a sandbox on this machine could open this server's data. Changes nothing. What makes
   * recovery untrue is a `refuses` finding; what only leaves something out is `warns` and needs the owner's named acceptance.
   */
  inspectServer(
    connection: DatabaseConnection,
    context: EngineContext,
    wish: { readonly pitr: boolean; readonly incremental: boolean },
  ): Promise<ServerReadiness>;
  /**
   * Turns on what the server needs for incrementals of its own, where the role may (PostgreSQL: WAL summaries). Idempotent. Returns what was
   * changed, or the statement for a person. Absent: nothing has to be turned on.
   */
  configureIncrementals?(connection: DatabaseConnection, context: EngineContext): Promise<readonly CheckFinding[]>;
  /** Makes the source keep its log from now on (PostgreSQL: the holding slot). Idempotent. Returns what only a person can set, as statements. */
  configureArchive(
    connection: DatabaseConnection,
    context: EngineContext,
    options: { readonly slot: string },
  ): Promise<ArchiveSetup>;
  /**
   * Makes a registered replica keep its log from `position` on as well, so that the archive can go on there when it is promoted. Called
   * again and again with what is stored by then. Absent: this engine's replicas keep their log by themselves.
   */
  holdLog?(
    connection: DatabaseConnection,
    context: EngineContext,
    options: { readonly slot: string; readonly position: LogPosition },
  ): Promise<void>;
  /**
   * A name of the running server that answers there: two addresses of one server give the same, a server and its copy do not. Only for
   * engines with `holdLog`.
   */
  nameInstance?(connection: DatabaseConnection, context: EngineContext): Promise<string>;
  /** Takes back what `configureArchive` made. Idempotent; an object that is gone already is a success. */
  releaseArchive(
    connection: DatabaseConnection,
    context: EngineContext,
    options: { readonly slot: string },
  ): Promise<void>;
  /**
   * A full of the whole server. With `slot` null nothing archives this server's log: the backup then carries the log it needs itself.
   * Either way the backup alone must be recoverable to its own end.
   */
  openFull(connection: DatabaseConnection, context: EngineContext, options: FullOptions): Promise<ServerBackupSession>;
  /**
   * Why a replica, reached by `replica`, is not read for its primary: it is another server's, holds what its primary does not have, does
   * not replicate, leaves something out, or does not reach within `withinMs` what the primary has now. Null when nothing speaks against
   * it. Absent: replicas have their primary's identity and positions, by which they are judged.
   */
  findReplicaFault?(
    replica: DatabaseConnection,
    context: EngineContext,
    options: { readonly primary: DatabaseConnection; readonly withinMs: number },
  ): Promise<string | null>;
  /**
   * Only for `physical`. Throws `incremental_impossible` when a full has to be taken instead (other timeline or identity, missing WAL
   * summaries, parent without manifest …); the message says which.
   */
  openIncremental(
    connection: DatabaseConnection,
    context: EngineContext,
    options: { readonly label: string; readonly parent: ParentBackup },
  ): Promise<ServerBackupSession>;
  /** Starts the receiver and reads what it gets. Throws `log_gap` when the source cannot continue where the store ends. */
  openFollower(
    connection: DatabaseConnection,
    context: EngineContext,
    options: LogFollowerOptions,
  ): Promise<LogFollower>;
  /** The source's clock and the end of its log, read together: once the log is stored up to `position`, everything committed before `clock` is. */
  readLogEnd(connection: DatabaseConnection, context: EngineContext): Promise<LogEnd>;
  /**
   * Whether a server, reached as the one whose log is stored and of another identity, has taken its place: it executed transactions of that
   * one and is no replica. `lacks`: what is stored and it never executed. Absent: a promoted replica keeps its primary's identity.
   */
  judgeSuccessor?(
    connection: DatabaseConnection,
    context: EngineContext,
    options: { readonly former: string; readonly stored: LogPosition | null },
  ): Promise<{ readonly isSuccessor: boolean; readonly lacks: string | null }>;
  /** Whether a server that stands at `end` never had something that is stored: a former primary that came back, or a log begun anew. */
  lacksStored?(end: LogPosition, stored: LogPosition): boolean;
  /** Orders two positions of one epoch: negative when `a` is before `b`. */
  comparePositions(a: LogPosition, b: LogPosition): number;
  /**
   * Builds a sandbox, replays, stops exactly at the target and leaves the server running, read from by dump. Throws `recovery_incomplete`
   * when the target was not reached (a gap, a log that ends before it), `sandbox_failed` otherwise.
   */
  recover(context: EngineContext, options: RecoverOptions): Promise<Sandbox>;
  /**
   * Writes the server's own files into `dir`, set up to recover to the target when somebody starts them on a host of their own: the fast
   * way for big servers, and one that needs no Tidemark. `logDir` lies where it will be read. Answers what to run, as the text of a README.
   */
  writeFiles?(context: EngineContext, options: FetchedOptions): Promise<{ readonly readme: string }>;
}

export type LogEnd = {
  readonly server: ServerIdentity;
  readonly clock: string;
  readonly position: LogPosition;
  /** Only of a replica whose log is its primary's: to here its data has come, which may be far behind the log that it has received. */
  readonly applied?: LogPosition;
};

export type FullOptions = {
  readonly label: string;
  readonly fingerprint: boolean;
  /**
   * The connection is one to a replica of this primary, whose log continues the full, for engines with `findReplicaFault`: identity,
   * positions and times of the full are the primary's.
   */
  readonly primary?: DatabaseConnection;
};

export type ServerReadiness = {
  readonly server: ServerIdentity;
  readonly role: 'primary' | 'replica';
  /** Bytes of all databases by the server's estimate: the space a sandbox needs. */
  readonly sizeBytes: number;
  /** All databases a full holds, by name (not templates or system databases). */
  readonly databases: readonly string[];
  readonly full: boolean;
  readonly incremental: boolean;
  readonly pitr: boolean;
  /** Null, or in one sentence why something above is not possible and what remains (managed clouds forbid physical replication). */
  readonly reason: string | null;
  readonly findings: readonly CheckFinding[];
};

export type ArchiveSetup = {
  /** From here on the source keeps its log for us. */
  readonly position: LogPosition;
  readonly findings: readonly CheckFinding[];
};

/** A full or incremental under way. Parts are read as in a dump: nothing counts before each `done` and then `finish` have resolved. */
export interface ServerBackupSession {
  readonly server: ServerIdentity;
  readonly sourceRole: 'primary' | 'replica';
  readonly estimatedBytes: number | null;
  readonly parts: readonly DumpPart[];
  /** Databases that the backup holds. */
  readonly databases: readonly string[];
  /** Why no fingerprint at the backup's exact position can be had, or null. PostgreSQL never can: its proof comes from the sandbox. */
  readonly fingerprintUnavailable: string | null;
  fingerprint(database: string, onTable?: (done: number, total: number) => void): Promise<Fingerprint>;
  /** After all parts: positions, and small files that belong to the backup (backup_manifest, accounts). */
  finish(): Promise<ServerBackupResult>;
  close(): Promise<void>;
}

export type ServerBackupResult = {
  /** Replay starts here. */
  readonly startPosition: LogPosition;
  /** The earliest point to which this backup can be recovered. */
  readonly endPosition: LogPosition;
  /** Source's clock at `endPosition`, RFC 3339. */
  readonly takenAt: string;
  readonly sidecars: readonly { readonly name: string; readonly body: Buffer }[];
  /** What a sandbox must know to open it: plain text facts (superuser's name, locale, extensions, `max_connections` …); no secrets. */
  readonly cluster: Readonly<Record<string, string>>;
};

export type ParentBackup = {
  readonly backupId: string;
  readonly server: ServerIdentity;
  readonly startPosition: LogPosition;
  readonly endPosition: LogPosition;
  /** Reads a file of the parent by name, for example `backup_manifest`. */
  open(name: string): Promise<Buffer>;
};

export type RecoverablePart = {
  readonly name: string;
  /** Fails unless all hashes were right, and when the reader gives up. */
  open(signal: AbortSignal): Promise<NodeJS.ReadableStream>;
  /** Still compressed with zstd, and fails unless the stored bytes were right: what they decompress to has to be verified. */
  openPacked(signal: AbortSignal): Promise<NodeJS.ReadableStream>;
};

/** A stored backup as recovery reads it. */
export type RecoverableBackup = {
  readonly backupId: string;
  readonly kind: 'full' | 'incremental';
  readonly startPosition: LogPosition;
  readonly endPosition: LogPosition;
  readonly cluster: Readonly<Record<string, string>>;
  readonly parts: readonly RecoverablePart[];
};

/** The phase in which nothing goes on but the fetching of the log; whoever fetches knows how far it is. */
export const FETCHING_LOG = 'fetching the log';

export type LogFile = { readonly name: string; readonly bytes: number };

/** All that a recovery needs is there. */
export type FetchedOptions = Omit<RecoverOptions, 'logFiles'> & { readonly logFiles: readonly LogFile[] };

export type RecoverOptions = {
  /** An empty folder for the sandbox alone, which its server's user can enter; removed by the caller after `close`. */
  readonly dir: string;
  readonly server: ServerIdentity;
  /** A full, then its physical incrementals in order. */
  readonly backups: readonly RecoverableBackup[];
  readonly logDir: string;
  /**
   * Log files in order, whole or cut at the end, in `logDir`; empty when only the backup itself is wanted. A promise: they are being fetched; a
   * recovery that succeeds has awaited it, and whoever fetches ends that when it fails.
   */
  readonly logFiles: readonly LogFile[] | Promise<readonly LogFile[]>;
  /** To this position the log is stored without a gap, as was proven from the slices. Null without logs. */
  readonly logEnd: LogPosition | null;
  readonly target: RecoveryTarget;
  readonly onPhase: (phase: string) => void;
};

/** A private local server with recovered content. Reached by its unix socket: `connection.host` is the socket's folder. */
export interface Sandbox {
  /** Connects to a maintenance database; give another `database` to read one. */
  readonly connection: DatabaseConnection;
  readonly databases: readonly string[];
  readonly lastApplied: StopPoint | null;
  readonly firstRefused: StopPoint | null;
  /** Ends the server (all its processes) and waits for it. */
  close(): Promise<void>;
}
