import { execFileSync, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { findDescendants } from '../src/platform/processes.js';
import { workerEnvironment, workerNodeFlags } from '../src/platform/worker-memory.js';
import type { DurableSlice, FollowLine } from './chain-follow.js';
import type { RecoverFigures } from './chain-recover.js';
import type { TakeFigures } from './chain-take.js';
import type { ChainTask } from './chain-worker.js';
import type { TlsStore } from './tls-store.js';

type Task<A extends ChainTask['act']> = Extract<ChainTask, { act: A }>;
/** The one core a process may use; null: any. */
export type Core = number | null;

/** Started as `tidemark up` starts its workers. */
function launch(task: ChainTask, store: TlsStore, core: Core) {
  const worker = fileURLToPath(new URL('chain-worker.ts', import.meta.url));
  const words = [
    ...(core === null ? [] : ['taskset', '-c', String(core)]),
    process.execPath,
    ...workerNodeFlags,
    // Processor profiles of a measured run: BENCH_NODE_FLAGS='--cpu-prof --cpu-prof-dir=…'.
    ...(process.env.BENCH_NODE_FLAGS?.split(' ') ?? []),
    ...['--import', 'tsx', worker],
  ];
  const [command = '', ...args] = words;
  const child = spawn(command, args, {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, ...workerEnvironment, NODE_EXTRA_CA_CERTS: store.certFile },
  });
  child.stdin.end(JSON.stringify(task));
  const exited = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
  return { child, exited };
}

export function runTask(task: Task<'take'>, store: TlsStore): Promise<TakeFigures>;
export function runTask(task: Task<'recover'>, store: TlsStore): Promise<RecoverFigures>;
export async function runTask(task: ChainTask, store: TlsStore): Promise<unknown> {
  const { child, exited } = launch(task, store, null);
  const output = await text(child.stdout);
  if ((await exited) !== 0) throw new Error(`the worker failed to ${task.act}`);
  return JSON.parse(output) as unknown;
}

export type Follower = {
  /** In order, growing. */
  readonly slices: readonly DurableSlice[];
  readonly pid: number;
  /** Date.now() when the worker was loaded; when its receiver was at work for the first time. */
  begun(): Promise<number>;
  receiving(): Promise<number>;
  /** Waits until something holds of the slices; throws when the worker ends before. */
  until(holds: (slices: readonly DurableSlice[]) => boolean, what: string): Promise<void>;
  stop(): Promise<void>;
};

const LONGEST_WAIT_MS = 180_000;

export function startFollower(task: Task<'follow'>, store: TlsStore, core: Core = null): Follower {
  const { child, exited } = launch(task, store, core);
  const slices: DurableSlice[] = [];
  const states = new Map<string, number>();
  let ended = false;
  void exited.then(() => {
    ended = true;
  });
  createInterface({ input: child.stdout }).on('line', (text) => {
    const line = JSON.parse(text) as FollowLine;
    if ('durable' in line) slices.push(line.durable);
    else if ('state' in line) states.set(line.state, states.get(line.state) ?? line.at);
    else console.error(`  follower: ${line.trouble}`);
  });
  const until = async (holds: () => boolean, what: string) => {
    const end = Date.now() + LONGEST_WAIT_MS;
    while (!holds()) {
      if (ended) throw new Error(`the follower ended before ${what}`);
      if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
      await sleep(20);
    }
  };
  const stateAt = async (state: string) => {
    await until(() => states.has(state), state);
    return states.get(state) ?? 0;
  };
  return {
    slices,
    pid: child.pid ?? 0,
    begun: () => stateAt('begun'),
    receiving: () => stateAt('receiving'),
    until: (holds, what) => until(() => holds(slices), what),
    stop: async () => {
      child.kill('SIGTERM');
      if ((await exited) !== 0) throw new Error('the follower did not end in order');
    },
  };
}

/** Keeps a process, with all its threads and what it forks from now on, on one core. */
export function pin(pid: number | undefined, core: number): void {
  if (pid === undefined) throw new Error('there is no process to pin');
  for (const one of [pid, ...findDescendants(pid).map((mark) => mark.pid)])
    execFileSync('taskset', ['-acp', String(core), String(one)], { stdio: 'ignore' });
}
