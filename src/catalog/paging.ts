import { createHash } from 'node:crypto';
import { z } from 'zod';
import { TidemarkError } from '../domain/errors.js';
import type { Viewer } from './scope.js';

/**
 * Keyset paging, newest first. A cursor is the sort key of the last item shown plus a hash of list, filters and viewer: used with
 * other filters it would silently skip or repeat items, so it is refused with `invalid_cursor`.
 */

const cursorSchema = z.tuple([z.iso.datetime(), z.string().max(64), z.string().length(16)]);

export type PageRequest = {
  readonly list: string;
  readonly viewer: Viewer;
  /** The whole query; `limit` and `cursor` do not count as filters. */
  readonly query: { readonly limit: number; readonly cursor?: string | undefined } & Record<string, unknown>;
};

function bindingOf({ list, viewer, query }: PageRequest): string {
  const filters = Object.entries(query)
    .filter(([name, value]) => name !== 'limit' && name !== 'cursor' && value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const scope = viewer.role === 'admin' ? 'admin' : viewer.userId;
  return createHash('sha256')
    .update(JSON.stringify([list, scope, filters]))
    .digest('hex')
    .slice(0, 16);
}

/** The position after which a page begins, or null for the first page. */
export type Keyset = { readonly at: Date; readonly id: string } | null;

/** Reads the cursor of a request. Throws `invalid_cursor`. */
export function readCursor(request: PageRequest): Keyset {
  const { cursor } = request.query;
  if (cursor === undefined) return null;
  const refuse = () => new TidemarkError('invalid_cursor', 'The cursor was not made by this list with these filters.');
  let decoded: unknown;
  try {
    decoded = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    throw refuse();
  }
  const parsed = cursorSchema.safeParse(decoded);
  if (!parsed.success || parsed.data[2] !== bindingOf(request)) throw refuse();
  const at = new Date(parsed.data[0]);
  if (Number.isNaN(at.getTime())) throw refuse();
  return { at, id: parsed.data[1] };
}

/** `where` that continues after a position in the order (time descending, id descending). */
export function afterKeyset(keyset: Keyset): {
  OR?: [{ createdAt: { lt: Date } }, { createdAt: Date; id: { lt: string } }];
} {
  if (keyset === null) return {};
  return { OR: [{ createdAt: { lt: keyset.at } }, { createdAt: keyset.at, id: { lt: keyset.id } }] };
}

export const newestFirst = [{ createdAt: 'desc' }, { id: 'desc' }] as const satisfies readonly Record<string, 'desc'>[];

/** Cuts the one row too many that was read to learn whether there is a next page, and makes its cursor. */
export function cutPage<Row extends { id: string }>(
  request: PageRequest,
  rows: readonly Row[],
  timeOf: (row: Row) => Date,
): { rows: Row[]; nextCursor: string | null } {
  const page = rows.slice(0, request.query.limit);
  const last = page.at(-1);
  if (rows.length <= request.query.limit || last === undefined) return { rows: page, nextCursor: null };
  const key = [timeOf(last).toISOString(), last.id, bindingOf(request)];
  return { rows: page, nextCursor: Buffer.from(JSON.stringify(key)).toString('base64url') };
}
