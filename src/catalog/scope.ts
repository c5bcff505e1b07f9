import type { UserRole } from '../domain/statuses.js';

/** Who looks. Users see only their own objects, so that another's answers 404; admins see all (design section 7). */
export type Viewer = { readonly userId: string; readonly role: UserRole };

/** Filter for tables with an owner. */
export function ownedBy(viewer: Viewer): { ownerId?: string } {
  return viewer.role === 'admin' ? {} : { ownerId: viewer.userId };
}

/** Escapes what LIKE would read as wildcards: Prisma's `contains` passes them on, and a search for `_` would find everything. */
export function containsText(value: string): { contains: string; mode: 'insensitive' } {
  return { contains: value.replace(/[\\%_]/g, '\\$&'), mode: 'insensitive' };
}

/** `where` of a time range on one column: from inclusive, to exclusive. Undefined when neither is given. */
export function timeRange(from: string | undefined, to: string | undefined): { gte?: Date; lt?: Date } | undefined {
  if (from === undefined && to === undefined) return undefined;
  return { ...(from === undefined ? {} : { gte: new Date(from) }), ...(to === undefined ? {} : { lt: new Date(to) }) };
}
