import { z } from 'zod';
import type { DatabaseRow } from '../../catalog/databases.js';
import type { ServerRow } from '../../catalog/servers.js';
import { engineKinds } from '../../domain/engine-kinds.js';
import { findingSchema } from '../../domain/schemas/checks.js';
import { recordedErrorSchema, tlsSchema } from '../../domain/schemas/common.js';
import type { DatabaseResource, ServerResource } from '../../domain/schemas/databases.js';
import { capabilitiesSchema } from '../../domain/schemas/databases.js';
import { numberOf, timeText } from './times.js';

const engineSchema = z.enum(engineKinds);
// JSON columns are written by this project only; one that an older version wrote otherwise reads as nothing rather than breaking lists.
const capabilitiesColumn = capabilitiesSchema.nullable().catch(null);
const findingsColumn = z.array(findingSchema).catch([]);
export const errorColumn = recordedErrorSchema.nullable().catch(null);
export const tlsColumn = tlsSchema.nullable().catch(null);

export function presentDatabase(row: DatabaseRow): DatabaseResource {
  return {
    id: row.id,
    name: row.name,
    engine: engineSchema.parse(row.engine),
    host: row.host,
    port: row.port,
    username: row.username,
    database: row.database,
    tls: tlsColumn.parse(row.tls),
    role: row.role === 'replica' ? 'replica' : 'primary',
    primaryId: row.primaryId,
    ownerId: row.ownerId,
    serverId: row.serverId,
    serverVersion: row.server?.version ?? null,
    capabilities: capabilitiesColumn.parse(row.capabilities),
    findings: findingsColumn.parse(row.findings),
    sizeBytes: numberOf(row.sizeBytes),
    checkedAt: timeText(row.checkedAt),
    checkError: errorColumn.parse(row.checkError),
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  };
}

export function presentServer(row: ServerRow): ServerResource {
  return {
    id: row.id,
    engine: engineSchema.parse(row.engine),
    identity: row.identity,
    version: row.version,
    major: row.major,
    databases: row._count.databases,
    createdAt: row.createdAt.toISOString(),
    lastSeenAt: row.lastSeenAt.toISOString(),
  };
}
