/**
 * The one way Tidemark starts another program.
 *
 * Every child gets an allow-listed environment, no terminal, a bounded memory of what it said, and dies with its parent:
 * without the last one, a `pg_dump` of a killed worker would go on reading the source and a sandbox would keep its disk.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { inheritedEnvironment } from '../config.js';
import { ChildOutput } from './child-output.js';
import { hideSecrets } from './hide-secrets.js';

/** How much of a child's stderr is kept, in bytes. The end is kept: tools print the reason last. */
export const STDERR_TAIL_BYTES = 64 * 1024;

/** How long a child may take to end after the first signal before it is killed, in milliseconds. */
export const DEFAULT_STOP_GRACE_MS = 5_000;

/** After the process is gone: how long a grandchild that still holds stderr may delay the result, in milliseconds. */
const STDERR_DRAIN_MS = 250;

export interface SpawnChildOptions {
  /** Program; an absolute path, or a name looked up on the inherited PATH (or the PATH in `env`). */
  readonly command: string;
  readonly args: readonly string[];
  /** Added to the inherited PATH, LANG, LC_*, TZ. Nothing else is inherited. HOME is `/nonexistent` unless given here. */
  readonly env: Readonly<Record<string, string>>;
  /** Default `/`: a child must not depend on where the service was started. */
  readonly cwd?: string;
  readonly stdin?: 'pipe' | 'ignore';
  /**
   * `pipe` (default): the caller MUST read it. `tail`: kept with stderr. `ignore`: thrown away. Not used with `logFile`.
   * `openChildOutput()` is for gigabytes: the caller MUST read it, and destroy it when it never comes to this call.
   */
  readonly stdout?: 'pipe' | 'tail' | 'ignore' | ChildOutput;
  /** Both outputs are appended to this file (created 0600 by the caller's user); `stderr` of the result is then the end of what was added. */
  readonly logFile?: string;
  /** Opens a Node channel to the child (which must be Node) and hands over what it sends. */
  readonly onMessage?: (message: unknown) => void;
  /** Run as this user; needs root. */
  readonly user?: { readonly uid: number; readonly gid: number };
  /** Abort = stop: `stopSignal`, then SIGKILL after `graceMs`. */
  readonly signal?: AbortSignal;
  /** First signal of a stop; default SIGTERM. */
  readonly stopSignal?: NodeJS.Signals;
  readonly graceMs?: number;
  /** What the child is, for messages: `pg_dump of db_123`. Never a secret. */
  readonly label: string;
  /** Secrets that must not leave through `stderr`; also sought base64 and URL-encoded. */
  readonly redact?: readonly string[];
  /** Called for each complete line of stderr (and of stdout with `tail`), secrets hidden. Lines longer than 8 KiB are cut. */
  readonly onLine?: (line: string) => void;
}

export interface ChildExit {
  /** Exit code; null when a signal ended it. 127 when the program could not be started. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The end of stderr, at most 64 KiB, secrets hidden. */
  readonly stderr: string;
  /** True when it ended after `kill()` or an abort: its exit code then says nothing about its work. */
  readonly stopped: boolean;
}

export interface Child {
  readonly label: string;
  /** undefined only when the program could not be started. `setpriv` execs, so this is the program's own pid. */
  readonly pid: number | undefined;
  /** null unless `stdin: 'pipe'`. */
  readonly stdin: Writable | null;
  /** null unless `stdout` is 'pipe' or an output of the caller's own. */
  readonly stdout: Readable | null;
  /** The end of stderr so far. */
  stderrTail(): string;
  /** Resolves once the process has ended. Never rejects. */
  readonly exited: Promise<ChildExit>;
  /** Stops it (`stopSignal`, then SIGKILL after the grace; `SIGKILL` at once) with its process group; resolves when it has ended. */
  kill(signal?: NodeJS.Signals): Promise<ChildExit>;
}

/**
 * Starts a program. Throws only for impossible arguments (a NUL byte in one); a program that is missing or does not start
 * is an exit with code 127 and the reason in `stderr`.
 *
 * The child leads its own session and process group: Ctrl-C on the service's terminal reaches the service alone, which
 * then stops its children in order; and a tool that wants to prompt for a password has no terminal to do it on.
 *
 * Death with the parent is `setpriv --pdeathsig KILL`. The kernel ties it to the THREAD that forked, so call this from the main
 * thread. It covers the child, not the grandchildren of a program that daemonises: never start one that does.
 */
export function spawnChild(options: SpawnChildOptions): Child {
  const { command, args } = wrapWithSetpriv(options);
  const tail = new OutputTail(options.redact ?? [], options.onLine);
  const log = options.logFile === undefined ? undefined : openLog(options.logFile);
  const stdinMode = options.stdin ?? 'ignore';
  const stdoutMode = options.stdout ?? 'pipe';
  const output = log ? log.fd : 'pipe';
  const channel = stdoutMode instanceof ChildOutput ? stdoutMode.takeChildEnd() : null;
  let child: ReturnType<typeof spawn>;
  try {
    child = spawn(command, args, {
      cwd: options.cwd ?? '/',
      env: { ...inheritedEnvironment(), HOME: '/nonexistent', ...options.env },
      stdio: [
        stdinMode,
        log ? output : (channel?.stream ?? (stdoutMode === 'ignore' ? 'ignore' : 'pipe')),
        output,
        ...(options.onMessage ? (['ipc'] as const) : []),
      ],
      detached: true,
    });
  } finally {
    if (log) closeSync(log.fd);
    // The child has its own; while ours is open, its output would not end with it.
    channel?.close();
  }

  // A reader or writer that is not there when a stream fails must not take the service down; `exited` tells the story.
  for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.on('error', () => {});
  if (options.onMessage) child.on('message', options.onMessage);
  child.stderr?.on('data', (chunk: Buffer) => tail.add(chunk));
  if (stdoutMode === 'tail') child.stdout?.on('data', (chunk: Buffer) => tail.add(chunk));

  const stderrTail = () => (log ? readLogTail(log.path, log.from, options.redact ?? []) : tail.text());
  let stopped = false;

  const exited = new Promise<ChildExit>((resolve) => {
    child.once('error', (error) => {
      // Also emitted when a signal could not be sent; only a child without a pid never started.
      if (child.pid !== undefined) return;
      resolve({ code: 127, signal: null, stderr: `${options.label}: ${error.message}`, stopped });
    });
    child.once('exit', (code, signal) => {
      const finish = () => resolve({ code, signal, stderr: stderrTail(), stopped });
      const stderr = child.stderr;
      if (!stderr || stderr.readableEnded || stderr.destroyed) return finish();
      // 'close' would also wait for an unread stdout: a cancelled caller never reads it.
      const timer = setTimeout(finish, STDERR_DRAIN_MS);
      stderr.once('close', () => {
        clearTimeout(timer);
        finish();
      });
    });
  });

  const signalGroup = (signal: NodeJS.Signals) => {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    try {
      process.kill(-child.pid, signal);
    } catch {
      // Between fork and setsid there is no group of that id yet: the process itself is there.
      child.kill(signal);
    }
  };

  const kill = (signal: NodeJS.Signals = options.stopSignal ?? 'SIGTERM'): Promise<ChildExit> => {
    stopped = true;
    signalGroup(signal);
    if (signal === 'SIGKILL') return exited;
    const timer = setTimeout(() => signalGroup('SIGKILL'), options.graceMs ?? DEFAULT_STOP_GRACE_MS);
    return exited.finally(() => clearTimeout(timer));
  };

  if (options.signal) {
    const onAbort = () => void kill();
    if (options.signal.aborted) onAbort();
    else {
      options.signal.addEventListener('abort', onAbort, { once: true });
      void exited.then(() => options.signal?.removeEventListener('abort', onAbort));
    }
  }

  return {
    label: options.label,
    pid: child.pid,
    stdin: child.stdin,
    stdout:
      stdoutMode instanceof ChildOutput
        ? stdoutMode
        : stdoutMode === 'pipe' && !log
          ? (child.stdout as Readable)
          : null,
    stderrTail,
    exited,
    kill,
  };
}

/**
 * `setpriv` sets the death signal after the change of user, which would clear it, and then becomes the program; so does a launcher, which
 * keeps pid and death signal.
 */
function wrapWithSetpriv(options: SpawnChildOptions): { command: string; args: string[] } {
  const identity = options.user ? [`--reuid=${options.user.uid}`, `--regid=${options.user.gid}`, '--clear-groups'] : [];
  const launcher = options.stdout instanceof ChildOutput ? options.stdout.launcher : [];
  const words = [...launcher, options.command, ...options.args];
  return { command: 'setpriv', args: ['--pdeathsig', 'KILL', ...identity, '--', ...words] };
}

const MAX_LINE = 8 * 1024;

/** Keeps the last bytes of a stream, and hands out its lines. */
class OutputTail {
  private chunks: Buffer[] = [];
  private size = 0;
  private cut = false;
  private line = '';
  private readonly decoder = new StringDecoder('utf8');
  private readonly secrets: readonly string[];
  private readonly onLine: ((line: string) => void) | undefined;

  constructor(secrets: readonly string[], onLine?: (line: string) => void) {
    this.secrets = secrets;
    this.onLine = onLine;
  }

  add(chunk: Buffer): void {
    this.chunks.push(chunk);
    this.size += chunk.length;
    // Twice the limit before compacting: otherwise every small chunk would copy the whole tail.
    if (this.size > 2 * STDERR_TAIL_BYTES) {
      const kept = Buffer.concat(this.chunks).subarray(-STDERR_TAIL_BYTES);
      this.chunks = [Buffer.from(kept)];
      this.size = kept.length;
      this.cut = true;
    }
    if (this.onLine) this.emitLines(this.decoder.write(chunk));
  }

  text(): string {
    return tailText(Buffer.concat(this.chunks), this.cut, this.secrets);
  }

  private emitLines(text: string): void {
    const lines = (this.line + text).split('\n');
    this.line = (lines.pop() ?? '').slice(0, MAX_LINE);
    for (const line of lines) this.onLine?.(hideSecrets(line.slice(0, MAX_LINE).trimEnd(), this.secrets));
  }
}

function tailText(bytes: Buffer, alreadyCut: boolean, secrets: readonly string[]): string {
  const cut = alreadyCut || bytes.length > STDERR_TAIL_BYTES;
  let text = bytes.subarray(-STDERR_TAIL_BYTES).toString('utf8');
  if (cut) {
    // The first line may begin in the middle of a secret, which then could not be recognised: drop it.
    const newline = text.indexOf('\n');
    text = newline >= 0 ? text.slice(newline + 1) : '';
  }
  return hideSecrets(text, secrets);
}

function openLog(path: string): { fd: number; path: string; from: number } {
  const fd = openSync(path, 'a', 0o600);
  return { fd, path, from: statSync(path).size };
}

function readLogTail(path: string, from: number, secrets: readonly string[]): string {
  try {
    const size = statSync(path).size;
    const start = Math.max(from, size - STDERR_TAIL_BYTES);
    const bytes = Buffer.alloc(Math.max(0, size - start));
    const fd = openSync(path, 'r');
    try {
      readSync(fd, bytes, 0, bytes.length, start);
    } finally {
      closeSync(fd);
    }
    return tailText(bytes, start > from, secrets);
  } catch {
    return '';
  }
}
