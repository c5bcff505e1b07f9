import type { UsecaseContext, UsecaseOptions } from '../context.js';
import { learnSearchAttributes } from '../runs/search-attributes.js';
import { ensureInstallation } from './ensure-installation.js';
import { prepareNamespace } from './prepare-namespace.js';

export type ContextParts = Pick<UsecaseContext, 'catalog' | 'temporal' | 'masterKey' | 'logger'> & {
  readonly options: Omit<UsecaseOptions, 'searchAttributes'>;
};

const askAgainMs = 15_000;

/**
 * What every use case needs, made once per process. Knows the installation (and refuses a wrong master key: `wrong_master_key`) and
 * what the Temporal namespace offers; where Temporal is away at the start, that is asked again until it answers. `stop` ends the asking.
 */
export async function openContext(parts: ContextParts): Promise<{ context: UsecaseContext; stop(): void }> {
  const { catalog, temporal, masterKey, logger, options } = parts;
  const installationId = await ensureInstallation(catalog, masterKey);
  const known = { ...options, searchAttributes: false };
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  const ask = async (): Promise<void> => {
    if (await prepareNamespace(temporal, logger)) known.searchAttributes = await learnSearchAttributes(temporal);
    else if (!stopped) timer = setTimeout(() => void ask(), askAgainMs).unref();
  };
  await ask();
  const stop = () => {
    stopped = true;
    clearTimeout(timer);
  };
  return { context: { catalog, temporal, masterKey, logger, installationId, options: known }, stop };
}
