import { z } from 'zod';
import { engineKinds } from '../engine-kinds.js';
import { attachmentStatuses, pitrStatuses, shownArchiveStatuses } from '../statuses.js';
import { findingSchema } from './checks.js';
import {
  databaseNameSchema,
  hostSchema,
  idSchema,
  isPlainText,
  listOf,
  nameSchema,
  pageFields,
  portSchema,
  recordedErrorSchema,
  secretText,
  timestamp,
  tlsSchema,
  usernameSchema,
} from './common.js';

const passwordSchema = secretText(1024, 'Password on the database server; never shown again.');

const connectionFields = {
  host: hostSchema,
  port: portSchema,
  username: usernameSchema,
  password: passwordSchema,
  database: databaseNameSchema,
};

/** PostgreSQL counts bytes, MySQL and MariaDB characters: a longer name would silently be cut to another database's. */
export function fitsEngine(engine: string, name: string): boolean {
  return engine !== 'postgresql' || Buffer.byteLength(name) <= 63;
}

export const createDatabaseSchema = z
  .strictObject({
    name: nameSchema,
    engine: z.enum(engineKinds).meta({ example: 'postgresql' }),
    ...connectionFields,
    tls: tlsSchema.nullable().optional(),
    primaryId: idSchema('database').nullable().optional().meta({ description: 'The primary, when this is a replica.' }),
  })
  .refine((value) => fitsEngine(value.engine, value.database), {
    path: ['database'],
    message: 'must be at most 63 bytes on PostgreSQL',
  })
  .meta({ id: 'CreateDatabase', description: 'Registers one logical database on a server.' });
export type CreateDatabase = z.infer<typeof createDatabaseSchema>;

export const updateDatabaseSchema = z
  .strictObject({
    name: nameSchema,
    ...connectionFields,
    tls: tlsSchema.nullable(),
    primaryId: idSchema('database').nullable(),
  })
  .partial()
  .refine((value) => Object.keys(value).length > 0, 'must change at least one field')
  .meta({
    id: 'UpdateDatabase',
    description:
      'Fields to change; the engine of a database never changes. Another host or port takes the password again: a stored one goes only where it was given for.',
  });
export type UpdateDatabase = z.infer<typeof updateDatabaseSchema>;

export const listDatabasesQuery = z.strictObject({
  engine: z.enum(engineKinds).optional(),
  serverId: idSchema('server').optional(),
  q: z
    .string()
    .trim()
    .max(200)
    .refine(isPlainText)
    .optional()
    .meta({ description: 'Part of the name or of the database name.' }),
  ...pageFields,
});
export type ListDatabasesQuery = z.infer<typeof listDatabasesQuery>;

export const capabilitiesSchema = z
  .object({
    dump: z.boolean(),
    incremental: z.boolean(),
    pitr: z.boolean(),
    realtime: z.boolean(),
    reason: z.string().nullable(),
  })
  .meta({ id: 'Capabilities', description: 'What is possible with this database, and why the rest is not.' });

const archiveFields = {
  status: z.enum(shownArchiveStatuses).meta({
    description:
      'starting until the receiver delivers, then following; error with the reason while it is tried again; stalled: nothing was heard of it for a while, for instance because no worker runs; off and stopped: not wanted.',
  }),
  error: recordedErrorSchema.nullable(),
  coveredTo: timestamp.nullable().meta({ description: 'Everything committed before it is in the store.' }),
  lastSeenAt: timestamp.nullable().meta({ description: 'When whoever follows the log last said so.' }),
};
export const archiveStateSchema = z
  .object(archiveFields)
  .meta({ id: 'ArchiveState', description: "How the archive of a server's log fares, as far as it was seen." });
export type ArchiveState = z.infer<typeof archiveStateSchema>;

export const databaseSchema = z
  .object({
    id: idSchema('database'),
    name: z.string(),
    engine: z.enum(engineKinds),
    host: z.string(),
    port: z.int(),
    username: z.string(),
    database: z.string(),
    tls: z.object({ mode: z.enum(['require', 'verify']), ca: z.string().optional() }).nullable(),
    role: z.enum(['primary', 'replica']),
    primaryId: z.string().nullable(),
    ownerId: z.string(),
    serverId: z.string().nullable().meta({ description: 'Known after the first successful check.' }),
    serverVersion: z.string().nullable(),
    capabilities: capabilitiesSchema.nullable().meta({ description: 'Null until the first check.' }),
    findings: z.array(findingSchema),
    sizeBytes: z.number().nullable(),
    attachment: z
      .object({ policyId: z.string(), status: z.enum(attachmentStatuses) })
      .nullable()
      .meta({ description: 'The policy that it is under.' }),
    pitrStatus: z.enum(pitrStatuses).nullable().meta({ description: 'Of its attachment; null without one.' }),
    archive: archiveStateSchema.nullable().meta({ description: "Of its server's log under its policy; null without." }),
    checkedAt: timestamp.nullable(),
    checkError: recordedErrorSchema.nullable(),
    createdAt: timestamp,
    updatedAt: timestamp,
  })
  .meta({ id: 'Database', description: 'One logical database on a server.' });
export type DatabaseResource = z.infer<typeof databaseSchema>;
export const databaseListSchema = listOf(databaseSchema, 'DatabaseList');

/** A running server, known by its identity. */
export const serverSchema = z
  .object({
    id: idSchema('server'),
    engine: z.enum(engineKinds),
    identity: z.string().meta({ example: 'pg:7412345678901234567' }),
    version: z.string(),
    major: z.string(),
    databases: z.int().meta({ description: 'Registered databases on it that the caller may see.' }),
    chains: z
      .array(
        z.object({
          id: z.string(),
          policyId: z.string(),
          archiveStatus: archiveFields.status,
          archiveError: archiveFields.error,
          coveredTo: archiveFields.coveredTo,
          archiveLastSeenAt: archiveFields.lastSeenAt,
          createdAt: timestamp,
        }),
      )
      .meta({ description: 'Its fulls, incrementals and log archive, one chain for each policy.' }),
    cleanupPending: z
      .array(
        z.object({
          id: z.string(),
          kind: z.string().meta({ example: 'replication_slot' }),
          name: z.string(),
          host: z.string(),
          port: z.int(),
          attempts: z.int(),
          lastError: recordedErrorSchema.nullable(),
          createdAt: timestamp,
        }),
      )
      .meta({ description: 'What of ours could not be removed from it yet; it is retried until it is gone.' }),
    createdAt: timestamp,
    lastSeenAt: timestamp,
  })
  .meta({ id: 'Server', description: 'A running server, found by the check of a database on it.' });
export type ServerResource = z.infer<typeof serverSchema>;
export const serverListSchema = listOf(serverSchema, 'ServerList');
