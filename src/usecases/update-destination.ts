import { recordAudit } from '../catalog/audit-events.js';
import { changeDestination, findBackupsIn, lockDestination } from '../catalog/destinations.js';
import { replaceSecret } from '../catalog/secrets.js';
import { TidemarkError } from '../domain/errors.js';
import type { DestinationResource, UpdateDestination } from '../domain/schemas/destinations.js';
import { storeHosts } from '../domain/store-hosts.js';
import type { Principal, UsecaseContext } from './context.js';
import { requireDestination } from './get-destination.js';
import { presentDestination } from './present/present-destination.js';
import { startCheck } from './runs/run-check.js';
import { assertPathAllowed } from './shared/assert-path-allowed.js';
import { definedOnly } from './shared/defined-only.js';
import { assertAdmin, invalidField } from './shared/refusals.js';
import { sealCredentials } from './shared/seal-credentials.js';

const s3Fields = ['endpoint', 'bucket', 'region', 'forcePathStyle', 'accessKeyId', 'secretAccessKey'] as const;
/** Where objects lie: changing one of these would leave stored backups behind. */
const placeFields = ['bucket', 'prefix', 'path'] as const;

/** Changes a destination. Its place is fixed once a backup lies there (409); the endpoint may move with the store. */
export async function updateDestination(
  context: UsecaseContext,
  principal: Principal,
  input: { destinationId: string; changes: UpdateDestination },
): Promise<DestinationResource> {
  const before = await requireDestination(context, principal, input.destinationId);
  const { accessKeyId, secretAccessKey, ...changes } = input.changes;
  await assertFits(context, principal, before.type, input.changes);
  if (before.type === 's3' && s3Fields.some((field) => changes[field as keyof typeof changes] !== undefined)) {
    for (const host of storeHosts({ ...before, ...definedOnly(changes) })) {
      await context.options.assertHostAllowed(host);
    }
  }
  const secret =
    accessKeyId !== undefined && secretAccessKey !== undefined && before.secretId !== null
      ? await sealCredentials(context, { accessKeyId, secretAccessKey }, before.secretId)
      : null;
  const moved = placeFields.filter((field) => changes[field] !== undefined && changes[field] !== before[field]);
  const verifyAgain =
    moved.length > 0 || secret !== null || s3Fields.some((field) => input.changes[field] !== undefined);
  const row = await context.catalog.prisma.$transaction(async (tx) => {
    await lockDestination(tx, before.id);
    if (moved.length > 0) {
      const references = await findBackupsIn(tx, before.id);
      if (references.length > 0) {
        throw new TidemarkError(
          'still_referenced',
          `The ${moved.join(' and ')} of ${before.id} cannot change while backups lie there: ${references.join(', ')}. Register a second destination instead.`,
          { object: before.id, references },
        );
      }
    }
    if (secret !== null) await replaceSecret(tx, secret.id, secret.sealed);
    const changed = await changeDestination(tx, before.id, definedOnly(changes), verifyAgain);
    await recordAudit(tx, principal, 'destination.changed', before.id, { fields: Object.keys(input.changes) });
    return changed;
  });
  if (verifyAgain) await startCheck(context, { kind: 'destination', id: row.id, name: row.name });
  return presentDestination(row);
}

async function assertFits(
  context: UsecaseContext,
  principal: Principal,
  type: string,
  changes: UpdateDestination,
): Promise<void> {
  const foreign = type === 's3' ? (['path'] as const) : s3Fields;
  for (const field of foreign) {
    if (changes[field] !== undefined)
      throw invalidField(`/${field}`, `is not a field of a destination of type ${type}`);
  }
  if (type === 'directory') assertAdmin(principal, 'change a directory destination');
  if (changes.path !== undefined) assertPathAllowed(context, changes.path);
}
