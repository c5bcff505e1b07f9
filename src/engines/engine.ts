import type { Readable } from 'node:stream';
import type { EngineKind } from '../domain/engine-kinds.js';
import type { Fingerprint } from '../domain/fingerprint.js';
import type { LogPosition, ServerIdentity } from '../domain/positions.js';

/** How to reach one database. Credentials live only in memory: never in a log, an error, argv or a workflow history. */
export type DatabaseConnection = {
  readonly engine: EngineKind;
  readonly host: string;
  readonly port: number;
  readonly username: string;
  readonly password: string;
  readonly database: string;
  readonly tls: TlsOptions | null;
};

/** `require` encrypts without checking the certificate; `verify` checks chain and host name, against `ca` (PEM) when given. */
export type TlsOptions = { readonly mode: 'require' | 'verify'; readonly ca?: string };

/** What every engine call gets: cancellation, a place for a child's files, and where progress goes. */
export type EngineContext = {
  readonly signal: AbortSignal;
  /** Private 0700 scratch folder of this run for password files and sockets; removed by the caller. */
  readonly scratchDir: string;
  /** Roots of installed engine tools, searched for the server's brand and major (`<root>/pg17`, …), then PATH. */
  readonly toolRoots: readonly string[];
};

export type Capabilities = {
  readonly dump: boolean;
  readonly incremental: boolean;
  readonly pitr: boolean;
  readonly realtime: boolean;
  /** Why something is not possible, as one sentence; null when all is. */
  readonly reason: string | null;
};

/** One thing found at a check (design section 4, «Said at check and attach»). */
export type CheckFinding = {
  /** `refuses` makes a dump impossible; `warns` leaves something out or is risky; `info` is only said. */
  readonly severity: 'refuses' | 'warns' | 'info';
  /** Stable snake_case name, for example `missing_privilege`, `non_transactional_tables`, `unproven_version`. */
  readonly code: string;
  readonly message: string;
  /** The exact statement that mends it, when one does. */
  readonly statement: string | null;
};

export type DatabaseCheck = {
  readonly server: ServerIdentity;
  readonly role: 'primary' | 'replica';
  /** Estimated bytes of the database as the server tells them. */
  readonly sizeBytes: number;
  /** Of dumps; what a policy can do with the whole server its inspection tells (`ChainEngine.inspectServer`). */
  readonly capabilities: Pick<Capabilities, 'dump' | 'reason'>;
  readonly findings: readonly CheckFinding[];
};

/** One file of a dump, made by one run of the engine's own tool. */
export type DumpPart = {
  /** File name inside the backup: `dump.pgc`, `dump.sql`, … Parts are read back in the order in which they are listed. */
  readonly name: string;
  readonly tool: { readonly name: string; readonly version: string };
  /**
   * Starts the tool. `stdout` must be consumed; `done` settles after stdout ended, the child was reaped, its exit code was 0 and the
   * end marker was seen; it rejects with `dump_failed` or `dump_incomplete` otherwise. Nothing counts before `done` has resolved.
   */
  start(): StartedPart;
};

export type StartedPart = {
  readonly stdout: Readable;
  readonly done: Promise<void>;
  /** Takes chunks of `stdout` back, once nobody will read them any more, to fill them again. Calling it is a courtesy. */
  readonly release?: (chunk: Buffer) => void;
};

/**
 * An open, consistent snapshot of the source at an exact position. Parts and fingerprint are read from the same snapshot, so that
 * they may run at the same time.
 */
export interface DumpSession {
  readonly server: ServerIdentity;
  readonly position: LogPosition;
  /** Source's clock, RFC 3339. */
  readonly takenAt: string;
  /** Denominator for percent: bytes of table data by the server's estimate at the start, or null. */
  readonly estimatedBytes: number | null;
  /** Why no fingerprint at the exact position can be had (missing lock privilege…), or null when it can. */
  readonly fingerprintUnavailable: string | null;
  readonly parts: readonly DumpPart[];
  /** Reads the fingerprint from the snapshot. Throws when `fingerprintUnavailable` is set. */
  fingerprint(onTable?: (done: number, total: number) => void): Promise<Fingerprint>;
  /** Ends transactions and connections; kills what is still running. Safe to call twice. */
  close(): Promise<void>;
}

export type TargetInspection = {
  readonly exists: boolean;
  /** No user object inside. True when the target does not exist. */
  readonly empty: boolean;
  /** Up to 20 names of objects that a restore would replace. */
  readonly objects: readonly string[];
  readonly sizeBytes: number;
  /** The role may create databases here; without it only the direct way into an empty database is possible. */
  readonly canCreateDatabase: boolean;
  /** Foreign keys, slots, subscriptions that tie the target from outside and would break by a swap, by name. */
  readonly outsideTies: readonly string[];
  /** Free bytes where the server keeps its data, when the role can see it; else null. */
  readonly freeBytes: number | null;
};

/** One reversible step of a swap; plain JSON, kept in the catalog before it runs. */
export type SwapStep = {
  /** Stable name within its journal, for example `rename-live-to-previous`. */
  readonly name: string;
  /** Database to connect to; null for the maintenance database. */
  readonly database: string | null;
  /** Statements that do the step, run in order on one connection (in one transaction where the engine can). */
  readonly apply: readonly string[];
  /** Statements that undo it. */
  readonly revert: readonly string[];
  /** Query returning one row with one column: 1 when the step stands applied, 0 when not. A crash between running and recording is settled by it. */
  readonly probe: string;
};

export type SwapPlan = {
  readonly target: string;
  /** Name under which the former content stays, or null when there was none. */
  readonly previous: string | null;
  readonly steps: readonly SwapStep[];
};

/** Content as a target can hold it, and what had to be left out or laid elsewhere for that: fit to be shown, `code` stable. */
export type FittedContent = {
  readonly like: Fingerprint;
  readonly notes: readonly { readonly code: string; readonly message: string }[];
};

/** Work on a restore's target server. One session belongs to one attempt; opening a later attempt ends what an earlier one still does there. */
export interface RestoreSession {
  readonly server: ServerIdentity;
  inspect(target: string): Promise<TargetInspection>;
  /**
   * What the target server can hold of the content that a load will bring. Called before `load`, which keeps to it, and before a
   * comparison: what is loaded equals the answer's `like`. Absent: the engine's servers hold everything, or refuse.
   */
  fit?(like: Fingerprint): Promise<FittedContent>;
  /**
   * Creates an empty staging database with the encoding, locale and character set recorded in the fingerprint, after dropping what
   * earlier attempts of this restore left. Returns its name. Idempotent.
   */
  createStaging(like: Fingerprint | null): Promise<string>;
  /** Loads the parts (plain bytes, in order) into a database. Checks every pipe member's exit code and the end marker: `load_failed`. */
  load(database: string, parts: readonly { readonly name: string; open(): Promise<Readable> }[]): Promise<void>;
  fingerprint(database: string, onTable?: (done: number, total: number) => void): Promise<Fingerprint>;
  /** Plans how `staging` becomes `target`, the old one staying as `previous` when it exists. Carries owner, grants, database and role settings over. */
  planSwap(options: { staging: string; target: string; previous: string }): Promise<SwapPlan>;
  /** Plans how `previous` becomes `target` again, the present content going to `aside`. */
  planRevert(options: { target: string; previous: string; aside: string }): Promise<SwapPlan>;
  /** Applies or reverts one step, after its probe; running it twice is harmless. */
  runStep(step: SwapStep, direction: 'apply' | 'revert'): Promise<void>;
  /** Drops staging databases of this restore (all attempts). Idempotent. */
  dropStaging(): Promise<void>;
  /** Drops the kept former content. Refuses any name without `__before_` or `__reverted_`. Idempotent. */
  dropPrevious(database: string): Promise<void>;
  close(): Promise<void>;
}

/** One engine. Adding an engine touches its folder and one line of `registry.ts`. */
export interface Engine {
  readonly kind: EngineKind;
  /** Identity, version, capabilities and findings. Changes nothing on the server. */
  check(connection: DatabaseConnection, context: EngineContext): Promise<DatabaseCheck>;
  /** `fingerprint: false` skips the extra connection for it (bench only). */
  openDump(
    connection: DatabaseConnection,
    context: EngineContext,
    options: { fingerprint: boolean },
  ): Promise<DumpSession>;
  /** `connection.database` may name a database that does not exist yet; the session connects to the maintenance database. */
  openRestore(
    connection: DatabaseConnection,
    context: EngineContext,
    options: { restoreId: string; attempt: number },
  ): Promise<RestoreSession>;
}
