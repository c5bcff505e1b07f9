import { customAlphabet } from 'nanoid';

/** Every kind of id with its prefix. The prefix makes an id readable in logs, URLs and the Temporal Web UI. */
export const idPrefixes = {
  installation: 'inst',
  server: 'srv',
  database: 'db',
  destination: 'dst',
  plan: 'plan',
  policy: 'pol',
  backup: 'bkp',
  attempt: 'att',
  restore: 'rst',
  secret: 'sec',
  key: 'key',
  user: 'usr',
  token: 'tok',
  session: 'ses',
  audit: 'aud',
  notification: 'ntf',
  attachment: 'atc',
  chain: 'chn',
  slice: 'slc',
  gap: 'gap',
  cleanup: 'cln',
  journal: 'jrn',
} as const;

export type IdKind = keyof typeof idPrefixes;

// Lower case and digits only: ids become database names (`shop__before_rst_…`), S3 keys and workflow ids, some of which fold case.
const randomPart = customAlphabet('0123456789abcdefghjkmnpqrstvwxyz', 16);

/** A new random id such as `bkp_3k9…` (80 random bits). */
export function newId(kind: IdKind): string {
  return `${idPrefixes[kind]}_${randomPart()}`;
}

/** Matches every id of one kind; used by the request schemas, so that a path trick never reaches a query. */
export function idPattern(kind: IdKind): RegExp {
  return new RegExp(`^${idPrefixes[kind]}_[0-9a-hjkmnp-tv-z]{16}$`);
}
