import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { loadConfig } from '../config.js';
import { runWorker } from '../workers/run-worker.js';

type Queue = 'control' | 'data' | 'stream';
const queues: readonly Queue[] = ['control', 'data', 'stream'];

function parseQueues(text: string): Queue[] {
  const names = text.split(',').map((name) => name.trim());
  const known = queues.filter((queue) => names.includes(queue));
  if (known.length !== new Set(names).size) {
    throw new InvalidArgumentError(`takes names out of ${queues.join(', ')}, separated by commas`);
  }
  return known;
}

function ownVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** `tidemark worker --queues data,stream`: the process that does the work. */
export function registerWorker(program: Command): void {
  program
    .command('worker')
    .description('Do the work of the task queues until it is told to stop (SIGINT, SIGTERM)')
    .option('--queues <names>', 'task queues to serve', parseQueues, [...queues])
    .action(async (options: { queues: Queue[] }) => {
      await runWorker({
        config: loadConfig(),
        queues: options.queues,
        version: ownVersion(),
        // Whoever started us as a child waits for this line; people read the log.
        onReady: () => process.send?.('ready'),
      });
    });
}
