import type { Client, Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import type { Logger } from 'pino';
import { searchAttributeNames } from '../../workflows/names.js';

const waitMs = 10_000;
// How long closed workflows can be looked at: the catalog keeps the facts for longer.
const retentionMs = 30 * 24 * 3600 * 1000;
const notFound = 5;
const keyword = 2;

/**
 * Makes the namespace and the typed search attributes where this is allowed: a self-hosted cluster. Temporal Cloud refuses both by this
 * way; they are made in its console and `tidemark doctor` says what is missing. Never throws: a Temporal that is away is no reason
 * not to start.
 */
export async function prepareNamespace(temporal: Client, logger: Logger): Promise<void> {
  const connection = temporal.connection as Partial<Connection> & Client['connection'];
  const { namespace } = temporal.options;
  const ask = <T>(call: () => Promise<T>) => temporal.withDeadline(Date.now() + waitMs, call);
  try {
    await ask(() => connection.workflowService.describeNamespace({ namespace }));
  } catch (error) {
    if ((error as { code?: unknown }).code !== notFound) {
      logger.warn({ err: error, namespace }, 'Temporal could not be asked for the namespace');
      return;
    }
    try {
      await ask(() =>
        connection.workflowService.registerNamespace({
          namespace,
          description: 'Tidemark',
          workflowExecutionRetentionPeriod: msToTs(retentionMs),
        }),
      );
    } catch (refusal) {
      logger.warn({ err: refusal, namespace }, 'The namespace is missing and could not be made');
      return;
    }
  }
  try {
    const answer = await ask(async () => connection.operatorService?.listSearchAttributes({ namespace }));
    const known = answer?.customAttributes ?? {};
    const missing = Object.values(searchAttributeNames).filter((name) => !Object.hasOwn(known, name));
    if (missing.length === 0 || !connection.operatorService) return;
    const { operatorService } = connection;
    const searchAttributes = Object.fromEntries(missing.map((name) => [name, keyword]));
    await ask(() => operatorService.addSearchAttributes({ namespace, searchAttributes }));
  } catch (error) {
    logger.info({ err: error, namespace }, 'Search attributes could not be registered; runs start without them');
  }
}
