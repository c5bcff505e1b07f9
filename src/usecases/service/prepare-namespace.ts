import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import type { Logger } from 'pino';
import { searchAttributeNames } from '../../workflows/names.js';

const waitMs = 5_000;
// How long closed workflows can be looked at: the catalog keeps the facts for longer.
const retentionMs = 30 * 24 * 3600 * 1000;
/** A namespace made a moment ago is unknown to parts of the server until their caches are read anew (10 s by default). */
const knownWithinMs = 20_000;
const askAgainMs = 500;
const notFound = 5;
const keyword = 2;

/**
 * Makes the namespace and the typed search attributes where this is allowed: a self-hosted cluster. Temporal Cloud refuses both by this
 * way; they are made in its console and `tidemark doctor` says what is missing. Never throws. False when Temporal is away: ask again.
 */
export async function prepareNamespace(temporal: Client, logger: Logger): Promise<boolean> {
  const { namespace } = temporal.options;
  const { workflowService } = temporal.connection;
  try {
    await temporal.withDeadline(Date.now() + waitMs, () => workflowService.describeNamespace({ namespace }));
  } catch (error) {
    if ((error as { code?: unknown }).code !== notFound) {
      logger.warn({ err: error, namespace }, 'Temporal could not be asked for the namespace');
      return false;
    }
    try {
      await temporal.withDeadline(Date.now() + waitMs, () =>
        workflowService.registerNamespace({
          namespace,
          description: 'Tidemark',
          workflowExecutionRetentionPeriod: msToTs(retentionMs),
        }),
      );
    } catch (refusal) {
      logger.warn({ err: refusal, namespace }, 'The namespace is missing and could not be made');
      return false;
    }
  }
  await registerSearchAttributes(temporal, logger);
  return true;
}

async function registerSearchAttributes(temporal: Client, logger: Logger): Promise<void> {
  const { namespace } = temporal.options;
  // Not every connection has this service: in tests there are ones without.
  const { operatorService } = temporal.connection as Partial<Connection>;
  if (!operatorService) return;
  try {
    const { customAttributes: known } = await untilKnown(() =>
      temporal.withDeadline(Date.now() + waitMs, () => operatorService.listSearchAttributes({ namespace })),
    );
    await temporal.withDeadline(Date.now() + waitMs, async () => {
      const missing = Object.values(searchAttributeNames).filter((name) => !Object.hasOwn(known ?? {}, name));
      if (missing.length === 0) return;
      const searchAttributes = Object.fromEntries(missing.map((name) => [name, keyword]));
      await operatorService.addSearchAttributes({ namespace, searchAttributes });
    });
  } catch (error) {
    logger.info({ err: error, namespace }, 'Search attributes could not be registered; runs start without them');
  }
}

/** Repeats a question about a namespace that exists while the answer is that it does not. */
async function untilKnown<T>(ask: () => Promise<T>): Promise<T> {
  const end = Date.now() + knownWithinMs;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if ((error as { code?: unknown }).code !== notFound || Date.now() > end) throw error;
      await sleep(askAgainMs);
    }
  }
}
