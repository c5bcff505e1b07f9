import type { DestinationRow } from '../../catalog/destinations.js';
import { findSealedText } from '../../catalog/secrets.js';
import { TidemarkError } from '../../domain/errors.js';
import { destinationSecretSchema } from '../../domain/secrets.js';
import { storeHosts } from '../../domain/store-hosts.js';
import { openText, secretContext } from '../../keys/seal.js';
import type { Destination, DestinationConfig } from '../../storage/destination.js';
import { openDestination } from '../../storage/open-destination.js';
import type { UsecaseContext } from '../context.js';

/** Opens the store of a destination row with its sealed credentials. The caller closes it. Throws `host_not_allowed` or `secret_missing`. */
export async function openStore(context: UsecaseContext, row: DestinationRow): Promise<Destination> {
  const { directoryRoots } = context.options;
  return openDestination(await configOf(context, row), { directoryRoots });
}

async function configOf(context: UsecaseContext, row: DestinationRow): Promise<DestinationConfig> {
  if (row.type === 'directory') return { type: 'directory', path: row.path ?? '', prefix: row.prefix };
  for (const host of storeHosts(row)) await context.options.assertHostAllowed(host);
  const sealed = row.secretId === null ? null : await findSealedText(context.catalog.prisma, row.secretId);
  if (row.secretId === null || sealed === null) {
    throw new TidemarkError('secret_missing', `The stored credentials of destination ${row.id} are gone.`, {
      object: row.id,
    });
  }
  const text = await openText(context.masterKey, sealed, secretContext(row.secretId));
  return {
    type: 's3',
    endpoint: row.endpoint,
    bucket: row.bucket ?? '',
    region: row.region ?? 'us-east-1',
    prefix: row.prefix,
    ...destinationSecretSchema.parse(JSON.parse(text)),
    forcePathStyle: row.forcePathStyle,
  };
}
