import { z } from 'zod';

/**
 * A position in a server's log. PostgreSQL: `lsn` (and timeline). MySQL: executed GTID set plus file and offset.
 * MariaDB: GTID position plus file and offset. Text throughout: LSNs and GTIDs do not fit a JSON number.
 */
export const logPositionSchema = z.object({
  lsn: z.string().optional(),
  timeline: z.number().int().optional(),
  gtidSet: z.string().optional(),
  file: z.string().optional(),
  filePosition: z.string().optional(),
});
export type LogPosition = z.infer<typeof logPositionSchema>;

/** Where in a log it is, for messages. */
export function positionText({ lsn, timeline, file, filePosition }: LogPosition): string {
  if (lsn !== undefined) return timeline === undefined ? lsn : `${lsn} on timeline ${timeline}`;
  return `${file ?? 'an unknown file'}:${filePosition ?? '?'}`;
}

/** Who a server is, whatever its address: system identifier, server uuid, or MariaDB's server id + GTID domains (design section 1). */
export const serverIdentitySchema = z.object({
  engine: z.enum(['postgresql', 'mysql', 'mariadb']),
  /** Text key, to be compared with another one by isSameServer: `pg:<system identifier>`, `mysql:<server uuid>`, `mariadb:<server id>:<own GTID domain>[:<unique id>]`. */
  identity: z.string(),
  version: z.string(),
  /** Major as in `provenVersions`: `17`, `9.7`, `11.8`. */
  major: z.string(),
});
export type ServerIdentity = z.infer<typeof serverIdentitySchema>;
