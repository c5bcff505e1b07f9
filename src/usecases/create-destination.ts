import { recordAudit } from '../catalog/audit-events.js';
import { insertDestination } from '../catalog/destinations.js';
import { insertSecret } from '../catalog/secrets.js';
import { newId } from '../domain/ids.js';
import type { CreateDestination, DestinationResource } from '../domain/schemas/destinations.js';
import { storeHosts } from '../domain/store-hosts.js';
import type { Principal, UsecaseContext } from './context.js';
import { presentDestination } from './present/present-destination.js';
import { startCheck } from './runs/run-check.js';
import { assertPathAllowed } from './shared/assert-path-allowed.js';
import { assertAdmin } from './shared/refusals.js';
import { sealCredentials } from './shared/seal-credentials.js';

/** Registers a destination and starts its first check. Directories are for admins and lie under a configured root. */
export async function createDestination(
  context: UsecaseContext,
  principal: Principal,
  input: CreateDestination,
): Promise<DestinationResource> {
  const place = await placeOf(context, principal, input);
  const secret =
    input.type === 's3'
      ? await sealCredentials(context, { accessKeyId: input.accessKeyId, secretAccessKey: input.secretAccessKey })
      : null;
  const row = await context.catalog.prisma.$transaction(async (tx) => {
    if (secret !== null) await insertSecret(tx, { ...secret, purpose: 'destination' });
    const created = await insertDestination(tx, {
      ...place,
      id: newId('destination'),
      name: input.name,
      prefix: input.prefix,
      enabled: input.enabled,
      secretId: secret?.id ?? null,
      ownerId: principal.userId,
    });
    await recordAudit(tx, principal, 'destination.created', created.id, { name: created.name, type: created.type });
    return created;
  });
  await startCheck(context, { kind: 'destination', id: row.id, name: row.name });
  return presentDestination(row);
}

async function placeOf(context: UsecaseContext, principal: Principal, input: CreateDestination) {
  const nothing = { endpoint: null, bucket: null, region: null, path: null, forcePathStyle: true };
  if (input.type === 'directory') {
    assertAdmin(principal, 'register a directory destination');
    assertPathAllowed(context, input.path);
    return { ...nothing, type: 'directory' as const, path: input.path };
  }
  const endpoint = input.endpoint ?? null;
  const { bucket, region, forcePathStyle } = input;
  for (const host of storeHosts({ endpoint, bucket, region, forcePathStyle })) {
    await context.options.assertHostAllowed(host);
  }
  return { ...nothing, type: 's3' as const, endpoint, bucket, region, forcePathStyle };
}
