import { finished } from 'node:stream/promises';
import type { Connection, Submittable } from 'pg';
import { TidemarkError } from '../../../domain/errors.js';
import type { DatabaseConnection, EngineContext, StartedPart } from '../../engine.js';
import type { Session } from '../connect.js';
import { connect } from '../connect.js';
import { errorText, mapQueryError } from '../map-error.js';
import type { BackupRun, BackupWish } from './backup-run.js';
import { cancelled, labelText, openTap } from './backup-run.js';
import { explainRefusal } from './incremental-refusals.js';
import { ArchiveMerger } from './merge-archives.js';
import type { OpenedSource } from './open-source.js';
import { BACKUP_APPLICATION, placeOf } from './open-source.js';
import { BASE_PART_NAME, MANIFEST_NAME } from './programs.js';

/** What the driver's connection can do besides what its types tell. */
type WireConnection = Connection & { sendCopyFromChunk(chunk: Buffer): void; endCopyFrom(): void };

/** A replication command whose answer is a copy, in either direction. Source: PostgreSQL's manual, «Streaming Replication Protocol». */
class CopyCommand implements Submittable {
  readonly done: Promise<void>;
  private settle: (error?: Error) => void = () => {};
  private readonly sql: string;
  private readonly copy: { send?: Buffer; onData?(chunk: Buffer, connection: Connection): void };

  constructor(sql: string, copy: { send?: Buffer; onData?(chunk: Buffer, connection: Connection): void }) {
    this.sql = sql;
    this.copy = copy;
    this.done = new Promise((resolve, reject) => {
      this.settle = (error) => (error ? reject(error) : resolve());
    });
    this.done.catch(() => {});
  }

  submit(connection: Connection): void {
    connection.query(this.sql);
  }

  handleCopyInResponse(connection: WireConnection): void {
    const { send = Buffer.alloc(0) } = this.copy;
    for (let at = 0; at < send.length; at += 1024 * 1024)
      connection.sendCopyFromChunk(send.subarray(at, at + 1024 * 1024));
    connection.endCopyFrom();
  }

  handleCopyData(message: { chunk: Buffer }, connection: Connection): void {
    this.copy.onData?.(message.chunk, connection);
  }

  handleError(error: Error): void {
    this.settle(error);
  }

  handleReadyForQuery(): void {
    this.settle();
  }

  // Positions and the list of tablespaces: the manifest has the former, the archives name the latter.
  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleCommandComplete(): void {}
  handleEmptyQuery(): void {}
}

/** Size of the chunks that are handed on, in bytes, and how many of them are kept for reuse. The server sends 32 KiB at a time. */
const BATCH_BYTES = 1024 * 1024;
const SPARE_BATCHES = 8;

/** First bytes of the messages in the copy of BASE_BACKUP. */
const NEW_ARCHIVE = 0x6e;
const MANIFEST_BEGINS = 0x6d;
const DATA = 0x64;

/**
 * A base backup of a cluster with tablespaces, asked for over the replication protocol itself: pg_basebackup writes several tablespaces
 * to files only, which would take a disk of the cluster's size. The archives come one after the other and become one tar.
 */
export class WireBackup implements BackupRun {
  closed = false;
  readonly tool: BackupRun['tool'];
  readonly flowing: Promise<void>;
  private session: Session | null = null;
  private started: StartedPart | null = null;
  private readonly opened: ReturnType<typeof openTap>;
  private readonly merger = new ArchiveMerger((bytes) => this.gather(bytes));
  private readonly spare: Buffer[] = [];
  private batch: Buffer = Buffer.allocUnsafeSlow(BATCH_BYTES);
  private filled = 0;
  private isTapFull = false;
  private manifestParts: Buffer[] | null = null;
  private paused = false;
  private readonly connection: DatabaseConnection;
  private readonly context: EngineContext;
  private readonly wish: BackupWish;

  constructor(source: OpenedSource, connection: DatabaseConnection, context: EngineContext, wish: BackupWish) {
    this.connection = connection;
    this.context = context;
    this.wish = wish;
    this.tool = { name: 'BASE_BACKUP', version: source.server.version };
    this.opened = openTap(source);
    this.flowing = this.opened.flowing;
  }

  get manifest(): Buffer | null {
    return this.opened.tap.manifest;
  }

  get endedAt(): Promise<string | null> | null {
    return this.opened.endedAt();
  }

  start(): StartedPart {
    if (this.started === null) {
      const done = this.run();
      // The caller may await it only after it has read stdout to the end.
      done.catch(() => {});
      this.started = { stdout: this.opened.tap, done, release: (chunk) => this.giveBack(chunk) };
    }
    return this.started;
  }

  async stop(): Promise<void> {
    this.closed = true;
    if (!this.opened.tap.readableEnded) this.opened.tap.destroy();
    await this.session?.close();
  }

  private async run(): Promise<void> {
    const { connection, context, wish } = this;
    const { tap } = this.opened;
    // A cancel must not wait for a reader who gave up.
    const onAbort = () => tap.destroy(cancelled());
    context.signal.addEventListener('abort', onAbort, { once: true });
    // The reader gave up: the driver ends a session that is amid a command by cutting it off, and the server notices.
    tap.once('close', () => {
      if (!tap.readableEnded) void this.session?.close();
    });
    try {
      const session = await connect(connection, {
        signal: context.signal,
        applicationName: BACKUP_APPLICATION,
        replication: true,
      });
      this.session = session;
      if (this.closed || tap.destroyed) throw cancelled();
      if (wish.parentManifest !== null)
        await session.client.query(new CopyCommand('UPLOAD_MANIFEST', { send: wish.parentManifest })).done;
      const command = new CopyCommand(commandText(wish), { onData: (chunk, wire) => this.take(chunk, wire) });
      await session.client.query(command).done;
      await this.complete();
    } catch (error) {
      const failure = this.explain(error);
      if (!tap.destroyed) tap.destroy(failure);
      throw failure;
    } finally {
      context.signal.removeEventListener('abort', onAbort);
      await this.session?.close();
    }
  }

  /** One message of the copy. Whatever it throws would end the process: it is called by the socket. */
  private take(message: Buffer, wire: Connection): void {
    const { tap } = this.opened;
    if (tap.destroyed) return;
    try {
      this.read(message);
      if (!this.isTapFull || this.paused) return;
      this.paused = true;
      wire.stream.pause();
      tap.once('drain', () => {
        this.paused = false;
        this.isTapFull = false;
        wire.stream.resume();
      });
    } catch (error) {
      tap.destroy(error as Error);
    }
  }

  /** Copies, because the driver uses its buffers again. */
  private gather(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      const copied = bytes.copy(this.batch, this.filled, at);
      this.filled += copied;
      at += copied;
      if (this.filled === BATCH_BYTES) this.handOn();
    }
  }

  private handOn(): void {
    if (this.filled === 0) return;
    if (!this.opened.tap.write(this.batch.subarray(0, this.filled))) this.isTapFull = true;
    this.batch = this.spare.pop() ?? Buffer.allocUnsafeSlow(BATCH_BYTES);
    this.filled = 0;
  }

  private giveBack(chunk: Buffer): void {
    if (chunk.length === BATCH_BYTES && this.spare.length < SPARE_BATCHES) this.spare.push(chunk);
  }

  private read(message: Buffer): void {
    const body = message.subarray(1);
    switch (message[0]) {
      case NEW_ARCHIVE:
        this.merger.begin(folderOf(body.toString('utf8', 0, body.indexOf(0))));
        break;
      case MANIFEST_BEGINS:
        this.manifestParts = [];
        break;
      case DATA:
        if (this.manifestParts === null) this.merger.add(body);
        else this.manifestParts.push(Buffer.from(body));
    }
  }

  /** All has come: the manifest goes in as the last file, as pg_basebackup would put it there. */
  private async complete(): Promise<void> {
    const { tap } = this.opened;
    if (this.manifestParts === null)
      throw new TidemarkError('dump_incomplete', `The base backup of ${placeOf(this.connection)} has no manifest.`);
    const broken = finished(tap, { writable: false }).catch(() => {});
    this.merger.end(MANIFEST_NAME, Buffer.concat(this.manifestParts));
    this.manifestParts = null;
    this.handOn();
    // Nothing: its turn comes when all before it has been seen.
    await Promise.race([new Promise<void>((resolve) => tap.write(Buffer.alloc(0), () => resolve())), broken]);
    if (tap.errored) throw tap.errored;
    if (tap.destroyed) throw cancelled();
    const missing = tap.missing();
    if (missing !== null)
      throw new TidemarkError(
        'dump_incomplete',
        `The base backup of ${placeOf(this.connection)} ended early: ${missing}.`,
      );
    tap.end();
    await finished(tap);
  }

  private explain(error: unknown): Error {
    const { connection, context, wish } = this;
    const { tap } = this.opened;
    if (context.signal.aborted || this.closed) return cancelled();
    if (tap.errored && !(tap.errored instanceof TidemarkError))
      return new TidemarkError(
        'dump_incomplete',
        `What ${placeOf(connection)} sent is not a base backup: ${tap.errored.message}.`,
      );
    if (tap.errored) return tap.errored;
    const refusal = wish.parentManifest === null ? null : explainRefusal(`ERROR:  ${errorText(error, connection)}`);
    return (
      refusal ?? mapQueryError(error, connection, `The base backup of ${placeOf(connection)} failed`, 'dump_failed')
    );
  }
}

/** Where the entries of an archive belong; null: where they say. */
function folderOf(archive: string): string | null {
  if (archive === BASE_PART_NAME) return null;
  const oid = /^(\d+)\.tar$/.exec(archive)?.[1];
  if (oid === undefined) throw new Error(`it has an archive ${JSON.stringify(archive)}`);
  return `pg_tblspc/${oid}`;
}

/** The same that pg_basebackup asks for, with its log inside, and the links to tablespaces as a file of its own. */
function commandText(wish: BackupWish): string {
  const options = [
    `LABEL '${labelText(wish.label).replaceAll("'", "''")}'`,
    "CHECKPOINT 'fast'",
    // Without an archive its log would be waited for; it comes along.
    'WAIT false',
    'WAL true',
    'TABLESPACE_MAP true',
    "MANIFEST 'yes'",
    ...(wish.parentManifest === null ? [] : ['INCREMENTAL true']),
  ];
  return `BASE_BACKUP (${options.join(', ')})`;
}
