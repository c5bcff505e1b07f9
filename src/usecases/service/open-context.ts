import type { UsecaseContext, UsecaseOptions } from '../context.js';
import { learnSearchAttributes } from '../runs/search-attributes.js';
import { ensureInstallation } from './ensure-installation.js';
import { prepareNamespace } from './prepare-namespace.js';

export type ContextParts = Pick<UsecaseContext, 'catalog' | 'temporal' | 'masterKey' | 'logger'> & {
  readonly options: Omit<UsecaseOptions, 'searchAttributes'>;
};

/**
 * What every use case needs, made once per process: knows the installation (and refuses a wrong master key: `wrong_master_key`) and
 * what the Temporal namespace offers.
 */
export async function openContext(parts: ContextParts): Promise<UsecaseContext> {
  const { catalog, temporal, masterKey, logger, options } = parts;
  const installationId = await ensureInstallation(catalog, masterKey);
  await prepareNamespace(temporal, logger);
  const searchAttributes = await learnSearchAttributes(temporal);
  return { catalog, temporal, masterKey, logger, installationId, options: { ...options, searchAttributes } };
}
