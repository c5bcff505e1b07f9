import type { DestinationRow } from '../../catalog/destinations.js';
import type { DestinationResource } from '../../domain/schemas/destinations.js';
import { errorColumn } from './present-database.js';
import { timeText } from './times.js';

export function presentDestination(row: DestinationRow): DestinationResource {
  const s3 = row.type === 's3';
  return {
    id: row.id,
    name: row.name,
    type: s3 ? 's3' : 'directory',
    endpoint: row.endpoint,
    bucket: row.bucket,
    region: row.region,
    prefix: row.prefix,
    forcePathStyle: s3 ? row.forcePathStyle : null,
    path: row.path,
    enabled: row.enabled,
    ownerId: row.ownerId,
    credentialsVerifiedAt: timeText(row.credentialsVerifiedAt),
    checkError: errorColumn.parse(row.checkError),
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  };
}
