import { mkdirSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Config } from '../config.js';
import { toEnvironment } from '../config.js';
import { TidemarkError } from '../domain/errors.js';
import type { ChildExit } from '../platform/spawn-child.js';
import { spawnChild } from '../platform/spawn-child.js';
import { workerEnvironment, workerNodeFlags } from '../platform/worker-memory.js';
import type { ComponentDefinition } from './component.js';
import { markerEnvironment } from './home-lock.js';

/** A worker that must first build its workflow bundle on a busy machine takes its time. */
const READY_TIMEOUT_MS = 120_000;

/** Longer than a worker gives its own steps (5 s to end, 30 s until it leaves them behind). */
const STOP_GRACE_MS = 40_000;

export type WorkerDefinitionOptions = {
  /** With the addresses of the embedded components. */
  readonly config: Config;
  readonly queues: readonly string[];
};

/** `tidemark worker` as a process of its own: whatever happens to it, the API and the components go on. */
export function defineWorker({ config, queues }: WorkerDefinitionOptions): ComponentDefinition {
  const logFile = join(config.home, 'logs', 'worker.log');
  // The same command in the same form we run in ourselves: TypeScript below src/, JavaScript below dist/.
  const own = fileURLToPath(import.meta.url);
  const main = join(dirname(own), '../cli', `main${extname(own)}`);

  const start = async () => {
    mkdirSync(join(config.home, 'logs'), { recursive: true, mode: 0o700 });
    let ready: () => void = () => {};
    const saidReady = new Promise<'ready'>((resolve) => {
      ready = () => resolve('ready');
    });
    const child = spawnChild({
      command: process.execPath,
      args: [...process.execArgv, ...workerNodeFlags, main, 'worker', '--queues', queues.join(',')],
      env: { ...workerEnvironment, ...toEnvironment(config), ...markerEnvironment(config.home) },
      // Loaders among the arguments of node may be named relative to where we were started.
      cwd: process.cwd(),
      logFile,
      graceMs: STOP_GRACE_MS,
      label: 'the worker',
      onMessage: (message) => {
        if (message === 'ready') ready();
      },
    });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), READY_TIMEOUT_MS);
    });
    const first = await Promise.race([saidReady, child.exited, late]);
    clearTimeout(timer);
    if (first !== 'ready') {
      const exit: ChildExit = first === 'late' ? await child.kill('SIGKILL') : first;
      const what =
        first === 'late' ? `was not ready within ${READY_TIMEOUT_MS / 1000} s` : `ended (${exit.code ?? exit.signal})`;
      const said = exit.stderr.trim().split('\n').slice(-3).join(' | ');
      throw new TidemarkError(
        'component_failed',
        `The worker ${what}; it said: ${said || 'nothing'} (log: ${logFile})`,
      );
    }
    return {
      pid: child.pid,
      exited: child.exited,
      // Temporal and GET /readyz know whether it polls; a worker that hangs is replaced by its steps' timeouts, not by us: it may
      // be stopped on purpose (SIGSTOP of an operator), and its work is fenced.
      check: async () => {},
      stop: async () => void (await child.kill()),
      kill: async () => void (await child.kill('SIGKILL')),
    };
  };
  return { name: 'worker', start };
}
