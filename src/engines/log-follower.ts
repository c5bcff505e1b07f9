import type { LogPosition, ServerIdentity } from '../domain/positions.js';

/** Where in a server's log files one stands. */
export type LogCursor = {
  /** WAL segment, timeline history file or binlog file. */
  readonly file: string;
  /** Bytes of that file that are stored already. */
  readonly offset: number;
};

export type LogFollowerOptions = {
  /** Folder of this follower alone, kept from one start to the next; may be empty or lost. */
  readonly spoolDir: string;
  readonly slot: string;
  /** What the store has; null at the first start of an epoch. */
  readonly resume: {
    readonly cursor: LogCursor;
    readonly position: LogPosition;
    readonly server: ServerIdentity;
    /** SHA-256 (hex) of the bytes `[0, cursor.offset)` of `cursor.file`: what the source sends again must be the same, else the log is another one. */
    readonly prefixSha256: string;
    /**
     * What is stored of the newest files, newest first, every byte verified: a successor's log has to prove that it holds the same. Reading the content throws
     * `log_gap` where something is damaged. Absent: it cannot.
     */
    readonly readBack?: () => AsyncIterable<{ readonly file: string; readonly content: AsyncIterable<Buffer> }>;
  } | null;
  /**
   * The server was judged to have taken the place of `resume.server` (ChainEngine.judgeSuccessor). Its log is gone on with once it has proven to
   * hold the end of the stored one and nothing else before that; else `log_gap` says why not, and what lies between, and a new epoch follows it.
   */
  readonly successor?: boolean;
  /** The spool never holds more than this many bytes; a fuller one stops the receiver until it was shipped. */
  readonly spoolLimitBytes: number;
  /**
   * Asked before the source is made to keep its log anew: throws `fenced` when nobody wants that any more. A follower that was replaced, or
   * whose source was released meanwhile, would leave something on the source that nobody moves or removes. Absent: it may.
   */
  readonly assertMayHold?: () => Promise<void>;
};

/** New bytes of one log file, complete up to a record's end. */
export type LogChunk = {
  readonly file: string;
  readonly offset: number;
  readonly body: Buffer;
  /** The file ends with these bytes; a next one follows. */
  readonly endsFile: boolean;
  readonly start: LogPosition;
  readonly end: LogPosition;
  /** Source's clock of the first and the last commit inside, when cheaply known; else null. */
  readonly firstCommitAt: string | null;
  readonly lastCommitAt: string | null;
};

/** A running receiver. All methods throw `log_gap` (with the range in the message and in `details`) when the log cannot be continued without one. */
export interface LogFollower {
  readonly server: ServerIdentity;
  /** The next bytes that are not stored yet, at most 16 MiB; waits up to `waitMs` for some. Null: nothing new. */
  next(options: { readonly waitMs: number; readonly signal: AbortSignal }): Promise<LogChunk | null>;
  /** Everything up to the end of `chunk` is durable in the store: the source may forget it, and so may the spool. */
  acknowledge(chunk: LogChunk): Promise<void>;
  /** A place that the server tells, as the stored log calls it: files of a server that took over have other names there. Absent: the same. */
  inStore?(position: LogPosition): LogPosition;
  /**
   * Whether an end that the source told lies before what was stored when it was asked: then it is the end of another log, which was begun
   * anew (RESET), and says nothing of what is stored. Absent: this engine's ends never do.
   */
  wentBack?(end: LogPosition, stored: LogPosition): boolean;
  /** The receiver reached the source lately. Its own words when it does not; `outOfSpace`: because nothing more fits into the spool. */
  state(): { readonly connected: boolean; readonly message: string | null; readonly outOfSpace: boolean };
  close(): Promise<void>;
}
