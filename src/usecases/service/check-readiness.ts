import type { Client } from '@temporalio/client';
import type { Catalog } from '../../catalog/client.js';
import type { TaskQueue } from '../../workflows/names.js';
import { taskQueues } from '../../workflows/names.js';

export type ComponentState = { readonly ok: boolean; readonly detail: string };
export type Readiness = {
  readonly ready: boolean;
  readonly components: {
    readonly catalog: ComponentState;
    readonly temporal: ComponentState;
    readonly workers: ComponentState;
  };
};

const componentTimeoutMs = 3_000;
// Temporal remembers a poller for minutes; a worker that lives polls at least once a minute.
const pollerFreshMs = 90_000;
const workflowTasks = 1;
const activityTasks = 2;

/**
 * Whether work that is asked for now would be done: the catalog answers, Temporal answers, and a worker polls the queues `control`
 * and `data`. Never throws and never says why in words of a driver, which can hold addresses and names.
 */
export async function checkReadiness(context: { catalog: Catalog; temporal: Client }): Promise<Readiness> {
  const [catalog, temporal, workers] = await Promise.all([
    probe('the catalog', async () => {
      await context.catalog.prisma.$queryRaw`select 1`;
      return 'answers';
    }),
    probe('Temporal', async () => {
      const { temporal } = context;
      const { namespace } = temporal.options;
      await temporal.withDeadline(Date.now() + componentTimeoutMs, () =>
        temporal.connection.workflowService.describeNamespace({ namespace }),
      );
      return 'answers';
    }),
    probe('Temporal', () => describeWorkers(context.temporal)),
  ]);
  return { ready: catalog.ok && temporal.ok && workers.ok, components: { catalog, temporal, workers } };
}

async function probe(name: string, look: () => Promise<string>): Promise<ComponentState> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('timeout')), componentTimeoutMs);
  });
  try {
    const detail = await Promise.race([look(), timeout]);
    return { ok: detail === 'answers' || detail.startsWith('seen'), detail };
  } catch {
    return { ok: false, detail: `${name} does not answer` };
  } finally {
    clearTimeout(timer);
  }
}

async function describeWorkers(temporal: Client): Promise<string> {
  const needed: [TaskQueue, number][] = [
    ['control', workflowTasks],
    ['control', activityTasks],
    ['data', activityTasks],
  ];
  const missing = new Set<string>();
  await Promise.all(
    needed.map(async ([queue, taskQueueType]) => {
      const answer = await temporal.withDeadline(Date.now() + componentTimeoutMs, () =>
        temporal.connection.workflowService.describeTaskQueue({
          namespace: temporal.options.namespace,
          taskQueue: { name: taskQueues[queue] },
          taskQueueType,
        }),
      );
      const newest = Math.max(
        0,
        ...(answer.pollers ?? []).map((poller) => Number(poller.lastAccessTime?.seconds ?? 0) * 1000),
      );
      if (Date.now() - newest > pollerFreshMs) missing.add(queue);
    }),
  );
  if (missing.size > 0) return `no worker polls ${[...missing].sort().join(' and ')}`;
  return 'seen on control and data';
}
