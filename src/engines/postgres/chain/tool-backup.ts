import { TidemarkError } from '../../../domain/errors.js';
import type { ChildOutput } from '../../../platform/child-output.js';
import type { Child } from '../../../platform/spawn-child.js';
import type { DatabaseConnection, EngineContext, StartedPart } from '../../engine.js';
import { toolCommand } from '../../shared/find-tools.js';
import type { ScratchFile } from '../../shared/scratch-file.js';
import { writeScratchFile } from '../../shared/scratch-file.js';
import { streamTool } from '../stream-tool.js';
import { libpqEnvironment } from '../tools.js';
import type { BackupRun, BackupWish } from './backup-run.js';
import { labelText, openTap } from './backup-run.js';
import { explainRefusal } from './incremental-refusals.js';
import type { OpenedSource } from './open-source.js';
import { BACKUP_APPLICATION, placeOf } from './open-source.js';

/** One run of pg_basebackup, which writes a cluster without tablespaces as one tar to its standard output. */
export class ToolBackup implements BackupRun {
  closed = false;
  readonly tool: BackupRun['tool'];
  readonly flowing: Promise<void>;
  private child: Child | null = null;
  private output: ChildOutput | null = null;
  private started: StartedPart | null = null;
  private readonly opened: ReturnType<typeof openTap>;
  private readonly source: OpenedSource;
  private readonly connection: DatabaseConnection;
  private readonly context: EngineContext;
  private readonly wish: BackupWish;

  constructor(source: OpenedSource, connection: DatabaseConnection, context: EngineContext, wish: BackupWish) {
    this.source = source;
    this.connection = connection;
    this.context = context;
    this.wish = wish;
    this.tool = { name: 'pg_basebackup', version: source.tools.version };
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
      this.started = { stdout: this.opened.tap, done, release: (chunk) => this.output?.giveBack(chunk) };
    }
    return this.started;
  }

  async stop(): Promise<void> {
    this.closed = true;
    if (!this.opened.tap.readableEnded) this.opened.tap.destroy();
    await this.child?.kill();
  }

  /** One that was made since we looked: the next attempt looks anew, and asks the server itself for all of them (WireBackup). */
  private explainTablespaces(stderr: string): TidemarkError | null {
    if (!/can only write single tablespace to stdout/.test(stderr)) return null;
    const { host, port } = this.connection;
    return new TidemarkError(
      'dump_failed',
      `A tablespace was made on ${placeOf(this.connection)} just as its backup began, and pg_basebackup cannot stream it. The next attempt reads the server in another way, which can.`,
      { object: `${host}:${port}` },
    );
  }

  private async run(): Promise<void> {
    const { connection, context, source, wish } = this;
    const { tap } = this.opened;
    let cleanUp = async () => {};
    let parent: ScratchFile | null = null;
    try {
      const environment = await libpqEnvironment(connection, context, {
        applicationName: BACKUP_APPLICATION,
        database: connection.database,
      });
      cleanUp = environment.cleanUp;
      if (wish.parentManifest !== null)
        parent = await writeScratchFile(context.scratchDir, 'parent-manifest', wish.parentManifest);
      await streamTool({
        tap,
        missing: () => tap.missing(),
        program: 'pg_basebackup',
        command: toolCommand(source.tools, 'pg_basebackup'),
        args: [
          '--format=tar',
          '--pgdata=-',
          // With its own log each backup can be recovered to its end, whatever became of the archive.
          '--wal-method=fetch',
          '--checkpoint=fast',
          '--no-password',
          `--label=${labelText(wish.label)}`,
          ...(parent === null ? [] : [`--incremental=${parent.path}`]),
        ],
        env: environment.env,
        of: placeOf(connection),
        object: `${connection.host}:${connection.port}`,
        redact: [connection.password],
        context,
        isClosed: () => this.closed,
        onStart: (child, output) => {
          this.child = child;
          this.output = output;
        },
        output: 'a base backup',
        explain: (stderr) =>
          this.explainTablespaces(stderr) ?? (wish.parentManifest === null ? null : explainRefusal(stderr)),
      });
    } catch (error) {
      if (!tap.destroyed) tap.destroy(error instanceof Error ? error : undefined);
      throw error;
    } finally {
      await cleanUp();
      await parent?.remove();
    }
  }
}
