import { z } from 'zod';
import type { DatabaseRow } from '../../catalog/databases.js';
import type { ServerRow } from '../../catalog/servers.js';
import { engineKinds } from '../../domain/engine-kinds.js';
import { findingSchema } from '../../domain/schemas/checks.js';
import { recordedErrorSchema, tlsSchema } from '../../domain/schemas/common.js';
import type { ArchiveState, DatabaseResource, ServerResource } from '../../domain/schemas/databases.js';
import { capabilitiesSchema } from '../../domain/schemas/databases.js';
import { archiveStatuses, attachmentStatuses, pitrStatuses, shownArchiveStatus } from '../../domain/statuses.js';
import { numberOf, timeText } from './times.js';

const engineSchema = z.enum(engineKinds);
const archiveStatusColumn = z.enum(archiveStatuses);
const attachmentStatusColumn = z.enum(attachmentStatuses);
const pitrStatusColumn = z.enum(pitrStatuses);
// JSON columns are written by this project only; one that an older version wrote otherwise reads as nothing rather than breaking lists.
const capabilitiesColumn = capabilitiesSchema.nullable().catch(null);
export const findingsColumn = z.array(findingSchema).catch([]);
export const errorColumn = recordedErrorSchema.nullable().catch(null);
export const tlsColumn = tlsSchema.nullable().catch(null);

export function presentArchive(
  chain: Pick<ServerRow['chains'][number], 'archiveStatus' | 'archiveError' | 'archiveSeenAt' | 'coveredTo'>,
): ArchiveState {
  const { archiveSeenAt } = chain;
  return {
    status: shownArchiveStatus(archiveStatusColumn.parse(chain.archiveStatus), archiveSeenAt, new Date()),
    error: errorColumn.parse(chain.archiveError),
    coveredTo: timeText(chain.coveredTo),
    lastSeenAt: timeText(archiveSeenAt),
  };
}

export function presentDatabase(row: DatabaseRow): DatabaseResource {
  const [attachment] = row.attachments;
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
    attachment:
      attachment === undefined
        ? null
        : { policyId: attachment.policyId, status: attachmentStatusColumn.parse(attachment.status) },
    pitrStatus: attachment === undefined ? null : pitrStatusColumn.parse(attachment.pitrStatus),
    archive: attachment?.chain ? presentArchive(attachment.chain) : null,
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
    chains: row.chains.map((chain) => {
      const { status, error, coveredTo, lastSeenAt } = presentArchive(chain);
      return {
        id: chain.id,
        policyId: chain.policyId,
        archiveStatus: status,
        archiveError: error,
        coveredTo,
        archiveLastSeenAt: lastSeenAt,
        createdAt: chain.createdAt.toISOString(),
      };
    }),
    cleanupPending: row.cleanups.map((cleanup) => ({
      id: cleanup.id,
      kind: cleanup.kind,
      name: cleanup.name,
      host: cleanup.host,
      port: cleanup.port,
      attempts: cleanup.attempts,
      lastError: errorColumn.parse(cleanup.lastError),
      createdAt: cleanup.createdAt.toISOString(),
    })),
    createdAt: row.createdAt.toISOString(),
    lastSeenAt: row.lastSeenAt.toISOString(),
  };
}
