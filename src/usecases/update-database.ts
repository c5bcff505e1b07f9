import { recordAudit } from '../catalog/audit-events.js';
import { changeDatabase } from '../catalog/databases.js';
import { handOverHeldLog } from '../catalog/runs/cleanup-run.js';
import { deleteSecret, insertSecret, replaceSecret } from '../catalog/secrets.js';
import type { DatabaseResource, UpdateDatabase } from '../domain/schemas/databases.js';
import { fitsEngine } from '../domain/schemas/databases.js';
import type { Principal, UsecaseContext } from './context.js';
import { assertPrimary } from './create-database.js';
import { requireDatabase } from './get-database.js';
import { presentDatabase } from './present/present-database.js';
import { startCheck } from './runs/run-check.js';
import { wakeArchivesOf } from './runs/wake-chain.js';
import { definedOnly } from './shared/defined-only.js';
import { invalidField } from './shared/refusals.js';
import { sealCredentials } from './shared/seal-credentials.js';

/** Changes a database; another address takes the password again. A change of how it is reached forgets the last check and starts a new one. */
export async function updateDatabase(
  context: UsecaseContext,
  principal: Principal,
  input: { databaseId: string; changes: UpdateDatabase },
): Promise<DatabaseResource> {
  const before = await requireDatabase(context, principal, input.databaseId);
  const { password, primaryId, ...changes } = input.changes;
  if (changes.host !== undefined) await context.options.assertHostAllowed(changes.host);
  if (changes.database !== undefined && !fitsEngine(before.engine, changes.database)) {
    throw invalidField('/database', 'must be at most 63 bytes on PostgreSQL');
  }
  if (primaryId !== undefined) {
    if (primaryId === before.id) throw invalidField('/primaryId', 'must be another database');
    await assertPrimary(context, principal, before.engine, primaryId);
  }
  const movedBy = (['host', 'port'] as const).filter(
    (one) => changes[one] !== undefined && changes[one] !== before[one],
  );
  if (movedBy.length > 0 && password === undefined) {
    // Whoever may edit could otherwise send a stored password to a server of his own and read it there.
    throw invalidField('/password', `must be sent again with another ${movedBy.join(' and ')}`);
  }
  // Where it is reached now something of ours may be left: that takes the old credentials.
  const secret =
    password === undefined
      ? null
      : await sealCredentials(context, { password }, movedBy.length > 0 ? undefined : before.secretId);
  const connection = ['host', 'port', 'username', 'database', 'tls'] as const;
  const reached = secret !== null || connection.some((field) => changes[field] !== undefined);
  const row = await context.catalog.prisma.$transaction(async (tx) => {
    if (secret !== null && secret.id === before.secretId) await replaceSecret(tx, secret.id, secret.sealed);
    else if (secret !== null) await insertSecret(tx, { ...secret, purpose: 'database' });
    const changed = await changeDatabase(
      tx,
      before.id,
      {
        ...definedOnly(changes),
        ...(secret === null ? {} : { secretId: secret.id }),
        ...(primaryId === undefined ? {} : { primaryId, role: primaryId === null ? 'primary' : 'replica' }),
      },
      reached,
    );
    if (movedBy.length > 0 && !(await handOverHeldLog(tx, before))) await deleteSecret(tx, before.secretId);
    await recordAudit(tx, principal, 'database.changed', before.id, { fields: Object.keys(input.changes) });
    return changed;
  });
  if (reached) await startCheck(context, { kind: 'database', id: row.id, name: row.name });
  if (reached || primaryId !== undefined) await wakeArchivesOf(context, row);
  return presentDatabase(row);
}
