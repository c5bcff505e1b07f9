import type { Catalog } from '../client.js';

/** Keeps the installation's own wrapping key, made by `make` when there is none; of two processes that start at once both read the same. */
export async function keepInstallationKey(
  catalog: Catalog,
  id: string,
  make: () => Promise<{ sealed: string }>,
): Promise<{ id: string; sealed: string }> {
  const before = await catalog.prisma.wrappingKey.findUnique({ where: { id } });
  if (before !== null) return before;
  const { sealed } = await make();
  await catalog.prisma.wrappingKey.createMany({ data: [{ id, sealed }], skipDuplicates: true });
  const row = await catalog.prisma.wrappingKey.findUniqueOrThrow({ where: { id } });
  return row;
}
