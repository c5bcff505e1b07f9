import type { Catalog } from '../client.js';
import { noJson, toJson } from './run-json.js';

/** A clean-up with the database it came from, if that row still stands. Null when it is done or there is none. */
export async function readCleanup(catalog: Catalog, id: string) {
  const row = await catalog.prisma.sourceCleanup.findUnique({ where: { id } });
  if (row === null || row.doneAt !== null) return null;
  const database =
    row.databaseId === null
      ? null
      : await catalog.prisma.database.findFirst({ where: { id: row.databaseId, deletedAt: null } });
  return { ...row, databaseNow: database };
}
export type CleanupRun = NonNullable<Awaited<ReturnType<typeof readCleanup>>>;

/** It is gone from the server, and with it our copy of the credentials. */
export async function markCleanedUp(catalog: Catalog, { id, secretId }: CleanupRun): Promise<void> {
  await catalog.prisma.$transaction([
    catalog.prisma.sourceCleanup.update({
      where: { id },
      data: { doneAt: new Date(), attempts: { increment: 1 }, lastError: noJson },
    }),
    catalog.prisma.secret.deleteMany({ where: { id: secretId } }),
  ]);
}

export async function noteCleanupFailed(
  catalog: Catalog,
  id: string,
  error: { readonly code: string; readonly message: string },
): Promise<void> {
  await catalog.prisma.sourceCleanup.updateMany({
    where: { id, doneAt: null },
    data: { attempts: { increment: 1 }, lastError: toJson(error) },
  });
}
