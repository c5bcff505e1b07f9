import { describe, expect, it } from 'vitest';
import {
  readDatabaseAddress,
  readDestinationAddress,
  recordDatabaseCheckError,
  recordDestinationCheck,
} from '../../src/catalog/runs/checks.js';
import { getDatabase } from '../../src/usecases/get-database.js';
import { getDestination } from '../../src/usecases/get-destination.js';
import { updateDatabase } from '../../src/usecases/update-database.js';
import { updateDestination } from '../../src/usecases/update-destination.js';
import { registerDatabase, registerDestination, useUsecases } from '../support/usecase-stack.js';

describe('a check that ends after a change', () => {
  const stack = useUsecases();

  it('verifies no credentials that it has not used', async () => {
    const { context, admin } = stack;
    const { id } = await registerDestination(context, admin);
    const seen = await readDestinationAddress(context.catalog.prisma, id);
    const changes = { accessKeyId: 'another', secretAccessKey: 'never tried' };
    await updateDestination(context, admin, { destinationId: id, changes });
    await recordDestinationCheck(context.catalog, id, seen, null);
    expect((await getDestination(context, admin, { destinationId: id })).credentialsVerifiedAt).toBeNull();
    const now = await readDestinationAddress(context.catalog.prisma, id);
    await recordDestinationCheck(context.catalog, id, now, null);
    expect((await getDestination(context, admin, { destinationId: id })).credentialsVerifiedAt).not.toBeNull();
  });

  it('says nothing of an address where it has not been', async () => {
    const { context, admin } = stack;
    const { id } = await registerDatabase(context, admin);
    const seen = await readDatabaseAddress(context.catalog.prisma, id);
    await updateDatabase(context, admin, { databaseId: id, changes: { username: 'somebody else' } });
    const error = { code: 'authentication_failed', message: 'of the former user' };
    await recordDatabaseCheckError(context.catalog, id, seen, error);
    expect(await getDatabase(context, admin, { databaseId: id })).toMatchObject({ checkError: null, checkedAt: null });
    // The name is no part of the address.
    const now = await readDatabaseAddress(context.catalog.prisma, id);
    await updateDatabase(context, admin, { databaseId: id, changes: { name: 'renamed meanwhile' } });
    await recordDatabaseCheckError(context.catalog, id, now, error);
    expect((await getDatabase(context, admin, { databaseId: id })).checkError?.code).toBe('authentication_failed');
  });
});
