import { setTimeout as sleep } from 'node:timers/promises';
import { logFileNumber as fileNumber } from '../../../domain/compare-positions.js';
import { isTidemarkError, TidemarkError } from '../../../domain/errors.js';
import type { LogPosition, ServerIdentity } from '../../../domain/positions.js';
import { asOfTakeover, ownFileName, takeoverOf } from '../../../domain/takeover-files.js';
import { spawnChild } from '../../../platform/spawn-child.js';
import type { DatabaseConnection, EngineContext } from '../../engine.js';
import type { LogChunk, LogFollower, LogFollowerOptions } from '../../log-follower.js';
import { findFullDisk } from '../../shared/find-full-disk.js';
import type { Tools } from '../../shared/find-tools.js';
import { toolCommand } from '../../shared/find-tools.js';
import type { Interruption } from '../../shared/log-receiver.js';
import { LogReceiver } from '../../shared/log-receiver.js';
import { SourceControl } from '../../shared/source-control.js';
import type { Brand } from '../brand.js';
import { toEngineError } from '../failures.js';
import { writeOptionFile } from '../option-file.js';
import type { Session } from '../session.js';
import { openSession } from '../session.js';
import type { BinlogReader } from './binlog-reader.js';
import type { BinlogSpool } from './binlog-spool.js';
import { compareGtids, wentBack } from './compare-positions.js';
import { purgedError, readLogBeginning } from './find-gap.js';
import { successionError } from './judge-successor.js';
import { receiverServerId } from './log-program.js';
import type { TakeoverProof } from './prove-takeover.js';
import { recogniseServer } from './recognise-server.js';

const LOOK_MS = 100;
/** How often the source is asked where its log ends, in milliseconds. */
const ASK_MS = 5_000;
/** Without a sign of the receiver for this long it does not count as connected. */
const SEEN_MS = 15_000;
/** While nothing arrives for so long, a source that is ahead of the receiver is behind a cut connection, one that is behind began anew. */
const STALL_MS = 10_000;
const CLOSE_LIMIT_MS = 5_000;

type Parts = {
  readonly brand: Brand;
  readonly connection: DatabaseConnection;
  readonly context: EngineContext;
  readonly tools: Tools;
  readonly spool: BinlogSpool;
  readonly reader: BinlogReader;
  readonly server: ServerIdentity;
  readonly options: LogFollowerOptions;
  /** The server is another one than that whose log is stored: nothing of it is handed out before its log has proven to go on with that. */
  readonly proof: TakeoverProof | null;
};

/** A running archive of one server's binary log: the receiver, and the reader behind it. */
export class BinlogFollower implements LogFollower {
  readonly server: ServerIdentity;
  private readonly parts: Parts;
  private readonly control: SourceControl<Session>;
  private readonly receiver: LogReceiver;
  private failed: TidemarkError | null = null;
  private interrupted: ((reached: LogPosition) => TidemarkError) | null = null;
  /** Stored up to here. */
  private stored: { file: string; offset: number };
  private asking = false;
  private askedAt = 0;
  private seenAt = 0;
  /** What the receiver had written at the last look, and since when it has been so. */
  private written = { text: '', at: Date.now() };
  private trouble: string | null = null;
  private closed = false;
  private proof: TakeoverProof | null;
  private readonly takeover: number;

  constructor(parts: Parts) {
    const { connection, options, reader, spool, context } = parts;
    this.parts = parts;
    this.server = parts.server;
    this.proof = parts.proof;
    this.takeover = takeoverOf(reader.file);
    this.stored = { file: reader.file, offset: this.proof === null ? (options.resume?.cursor.offset ?? 0) : 0 };
    this.control = new SourceControl({
      open: (signal) => openSession(connection, { database: null, name: 'tidemark archive', signal }),
      toError: (error, doing) => toEngineError(error, connection, doing, 'internal'),
    });
    this.receiver = new LogReceiver({
      signal: context.signal,
      beforeStart: () =>
        this.control.ask('Preparing to receive the log', async (session) => {
          await recogniseServer(session, parts.brand, this.server);
        }),
      launch: () => this.launch(),
      findFull: async (wasFull) => {
        const bytes = await spool.waitingBytes(this.stored);
        const limit = options.spoolLimitBytes;
        // With room for what arrives until the next look; receives again when a good part was shipped.
        return bytes > (wasFull ? limit * 0.375 : limit * 0.75)
          ? `The spool holds ${bytes} of at most ${limit} bytes; receiving goes on when they were stored.`
          : await findFullDisk(spool.dir, wasFull);
      },
      lastError: (stderr) => lastError(stderr, parts.brand),
      interruptionIn: (stderr) => (/Could not find first log file name/i.test(stderr) ? 'removed' : null),
      onInterrupted: (how, words) => this.interrupt(how, words),
      onFailed: (error) => {
        this.failed = error;
      },
    });
  }

  start(): void {
    this.receiver.start();
  }

  private async launch() {
    const { brand, connection, context, tools, spool, reader, options } = this.parts;
    const first = (await spool.newest()) ?? reader.file;
    const dir = await spool.beginRun();
    const file = await writeOptionFile(connection, context.scratchDir);
    this.written = { text: '', at: Date.now() };
    const child = spawnChild({
      command: toolCommand(tools, brand.logProgram),
      args: [
        `--defaults-file=${file.path}`,
        '--read-from-remote-server',
        '--raw',
        '--stop-never',
        `${brand.logServerIdOption}=${receiverServerId(options.slot)}`,
        // What it writes gets the names that the stored log uses.
        `--result-file=${dir}/${asOfTakeover(this.takeover, '')}`,
        ownFileName(first),
      ],
      env: {},
      stdout: 'ignore',
      label: `${brand.logProgram} of ${connection.host}`,
      redact: [connection.password],
      signal: context.signal,
    });
    return { child, cleanUp: () => file.remove() };
  }

  async next(options: { readonly waitMs: number; readonly signal: AbortSignal }): Promise<LogChunk | null> {
    const end = Date.now() + options.waitMs;
    for (;;) {
      if (this.closed || options.signal.aborted || this.parts.context.signal.aborted)
        throw new TidemarkError('cancelled', 'The log is not followed any more.');
      if (this.failed) throw this.failed;
      // Before the read: a receiver that is interrupted meanwhile may have written something that this read did not see.
      const { interrupted } = this;
      this.ask();
      const chunk = await this.read();
      if (chunk) return chunk;
      if (interrupted) throw interrupted(this.parts.reader.position);
      const rest = end - Date.now();
      if (rest <= 0) return null;
      await sleep(Math.min(LOOK_MS, rest), undefined, { signal: options.signal }).catch(() => {});
    }
  }

  private async read(): Promise<LogChunk | null> {
    try {
      if (this.proof !== null && !(await this.prove(this.proof))) return null;
      return await this.parts.reader.read();
    } catch (error) {
      if (isTidemarkError(error)) this.failed = error;
      throw error;
    }
  }

  private async prove(proof: TakeoverProof): Promise<boolean> {
    const outcome = await proof.look();
    const { resume } = this.parts.options;
    if (typeof outcome === 'string' && resume !== null)
      throw await this.control.ask('Asking what the successor executed', (session) =>
        successionError(session, this.parts.brand, resume, this.server, outcome),
      );
    if (outcome !== true) return false;
    this.parts.reader.require(proof.read);
    this.proof = null;
    return true;
  }

  inStore(position: LogPosition): LogPosition {
    return position.file === undefined ? position : { ...position, file: asOfTakeover(this.takeover, position.file) };
  }

  async acknowledge(chunk: LogChunk): Promise<void> {
    const to = { file: chunk.file, offset: Number(chunk.end.filePosition ?? 0) };
    if (fileNumber(to.file) < fileNumber(this.stored.file)) return;
    this.stored = to;
    // A file that has ended tells the reader which one comes next.
    const done = fileNumber(chunk.file) - (chunk.endsFile ? 0 : 1);
    await this.parts.spool.prune(Math.min(done, fileNumber(this.parts.reader.file) - 1));
  }

  /** Asks now and then where the source's log ends, and compares it with what was received; does not wait for the answer. */
  private ask(): void {
    if (this.asking || !this.receiver.running || Date.now() - this.askedAt < ASK_MS) return;
    this.asking = true;
    this.askedAt = Date.now();
    const before = this.parts.reader.position;
    this.control
      .ask('Asking for the end of the log', (session) => this.parts.brand.position(session))
      .then((end) => this.compare(this.inStore(end), before))
      .then(() => {
        this.trouble = null;
      })
      .catch((error: unknown) => {
        if (isTidemarkError(error) && error.code === 'log_gap') this.failed = error;
        else this.trouble = isTidemarkError(error) ? error.message : 'The source could not be asked.';
      })
      .finally(() => {
        this.asking = false;
      });
  }

  private async compare(end: LogPosition, before: LogPosition): Promise<void> {
    const { spool, reader } = this.parts;
    const newest = await spool.newest();
    const [copy] = newest === null ? [] : await spool.copies(newest);
    const now = Date.now();
    const text = `${newest}:${copy?.run}:${copy?.bytes}`;
    if (text !== this.written.text) {
      this.written = { text, at: now };
      this.seenAt = now;
    }
    if (end.file === undefined || newest === null || copy === undefined) return;
    const files = fileNumber(end.file) - fileNumber(newest);
    const bytes = Number(end.filePosition ?? 0) - copy.bytes;
    const isQuiet = now - this.written.at > ASK_MS;
    // Everything the server has of this file has arrived anew, and it is less than what is stored: it began again.
    if (files === 0 && bytes === 0 && newest === reader.file && copy.bytes < reader.seen && isQuiet)
      throw reader.otherHistory(`${newest} ends at byte ${copy.bytes} now`, end);
    // What is sent may not be counted as committed for a moment; offsets of MariaDB may lag. Whether the log began anew, a new start tells.
    const isAhead = files > 0 || (files === 0 && bytes > 0);
    const isBack = files < 0 || compareGtids(this.parts.brand.kind, end, reader.position) < 0;
    if (!isAhead && !isBack) this.seenAt = now;
    else if (now - this.written.at > STALL_MS || (wentBack(this.parts.brand.kind, end, before) && isQuiet)) {
      this.written = { text, at: now };
      await this.receiver.restart();
    }
  }

  private async interrupt(_how: Interruption, words: string): Promise<void> {
    const { brand, reader } = this.parts;
    const found = await this.control
      .ask('Asking from where on the source has its log', (session) => readLogBeginning(session, brand))
      .catch(() => null);
    const beginning = found === null ? null : this.inStore(found);
    this.interrupted = (from) => {
      // The file was not purged: it lies before those that the server has, or after all of them.
      const wanted = takeoverOf(from.file) === this.takeover ? from.file : reader.file;
      const isReset = beginning?.file !== undefined && fileNumber(beginning.file) < fileNumber(wanted ?? '');
      return isReset
        ? reader.otherHistory(`it has no file ${wanted} any more and begins with ${beginning.file}`, beginning)
        : purgedError(from, beginning, words);
    };
  }

  wentBack(end: LogPosition, stored: LogPosition): boolean {
    return wentBack(this.parts.brand.kind, end, stored);
  }

  state(): ReturnType<LogFollower['state']> {
    const message = this.failed?.message ?? this.receiver.message ?? this.trouble;
    const connected = this.receiver.running && Date.now() - this.seenAt < SEEN_MS;
    const outOfSpace = !connected && this.receiver.outOfSpace;
    return { connected, message: connected ? this.trouble : (message ?? 'The receiver is connecting.'), outOfSpace };
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await Promise.race([this.receiver.stop(), sleep(CLOSE_LIMIT_MS)]);
    await Promise.race([this.control.close(), sleep(CLOSE_LIMIT_MS)]);
  }
}

/** The program says the reason last; an orderly shutdown of MySQL leaves it without a word. */
function lastError(stderr: string, brand: Brand): string {
  const lines = stderr.split('\n').filter((line) => line.trim() !== '');
  const errors = lines.filter((line) => /error/i.test(line));
  return (errors.at(-1) ?? lines.at(-1) ?? 'the server ended the connection')
    .replace(`${brand.logProgram}: `, '')
    .trim();
}
