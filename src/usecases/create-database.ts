import { recordAudit } from '../catalog/audit-events.js';
import { findDatabase, insertDatabase } from '../catalog/databases.js';
import { insertSecret } from '../catalog/secrets.js';
import { newId } from '../domain/ids.js';
import type { CreateDatabase, DatabaseResource } from '../domain/schemas/databases.js';
import type { Principal, UsecaseContext } from './context.js';
import { presentDatabase } from './present/present-database.js';
import { startCheck } from './runs/run-check.js';
import { wakeArchivesOf } from './runs/wake-chain.js';
import { invalidField } from './shared/refusals.js';
import { sealCredentials } from './shared/seal-credentials.js';

/** A replica names a registered database of the same engine that is itself no replica. Throws `invalid_request`. */
export async function assertPrimary(
  context: UsecaseContext,
  principal: Principal,
  engine: string,
  primaryId: string | null,
): Promise<void> {
  if (primaryId === null) return;
  const primary = await findDatabase(context.catalog.prisma, principal, primaryId);
  if (primary === null) throw invalidField('/primaryId', 'must be a registered database');
  if (primary.engine !== engine) throw invalidField('/primaryId', `must be a ${engine} database`);
  if (primary.primaryId !== null) throw invalidField('/primaryId', 'must be a primary, not another replica');
}

/** Registers a database and starts its first check. The answer does not depend on whether the database can be reached. */
export async function createDatabase(
  context: UsecaseContext,
  principal: Principal,
  input: CreateDatabase,
): Promise<DatabaseResource> {
  await context.options.assertHostAllowed(input.host);
  const { password, tls = null, primaryId = null, ...fields } = input;
  await assertPrimary(context, principal, input.engine, primaryId);
  const secret = await sealCredentials(context, { password });
  const row = await context.catalog.prisma.$transaction(async (tx) => {
    await insertSecret(tx, { ...secret, purpose: 'database' });
    const created = await insertDatabase(tx, {
      ...fields,
      id: newId('database'),
      tls,
      primaryId,
      role: primaryId === null ? 'primary' : 'replica',
      secretId: secret.id,
      ownerId: principal.userId,
    });
    await recordAudit(tx, principal, 'database.created', created.id, { name: created.name, engine: created.engine });
    return created;
  });
  await startCheck(context, { kind: 'database', id: row.id, name: row.name });
  if (row.primaryId !== null) await wakeArchivesOf(context, row);
  return presentDatabase(row);
}
