import type { Config } from '../config.js';
import { TidemarkError } from '../domain/errors.js';
import { connectTemporal } from '../usecases/service/connect-temporal.js';
import { searchAttributeNames } from '../workflows/names.js';
import type { Finding } from './doctor-checks.js';

/**
 * Tells whether the namespace knows Tidemark's search attributes. Only for a Temporal of the user's own: the embedded one registers them,
 * and elsewhere (Temporal Cloud) a client may not, so a person has to. Runs go on without them; the Web UI then cannot filter.
 */
export async function checkSearchAttributes(config: Config): Promise<Finding[]> {
  const { address, namespace } = config.temporal;
  if (address === undefined) return [];
  const name = 'search attributes';
  try {
    const temporal = await connectTemporal(config.temporal);
    try {
      const { connection } = temporal.client;
      const { customAttributes } = await connection.withDeadline(Date.now() + 5_000, () =>
        connection.operatorService.listSearchAttributes({ namespace }),
      );
      const unknown = Object.values(searchAttributeNames).filter(
        (attribute) => !(attribute in (customAttributes ?? {})),
      );
      if (unknown.length === 0)
        return [{ area: 'service', name, state: 'ok', detail: `registered in ${namespace}`, remedy: null }];
      const words = unknown.map((attribute) => `--name ${attribute} --type Keyword`).join(' ');
      const remedy = `temporal operator search-attribute create --namespace ${namespace} --address ${address} ${words}`;
      return [
        { area: 'service', name, state: 'wanting', detail: `${namespace} does not know ${unknown.join(', ')}`, remedy },
      ];
    } finally {
      await temporal.close();
    }
  } catch (error) {
    const detail =
      error instanceof TidemarkError
        ? error.message
        : `could not be read: ${error instanceof Error ? error.message : String(error)}`;
    return [{ area: 'service', name, state: 'wanting', detail, remedy: null }];
  }
}
