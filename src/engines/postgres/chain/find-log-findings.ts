import type { CheckFinding, DatabaseConnection, EngineContext } from '../../engine.js';
import type { Session } from '../connect.js';
import { connect } from '../connect.js';
import { mapConnectError } from '../map-error.js';
import { quoteName } from '../quote.js';
import { SLOT_LIMIT_UNSET } from '../slot-limit.js';
import { INCREMENTAL_FROM } from './programs.js';

/** Roles that only a provider's servers have, and what the provider is called. */
const PROVIDERS: Readonly<Record<string, string>> = {
  rdsadmin: 'Amazon RDS',
  cloudsqladmin: 'Google Cloud SQL',
  alloydbadmin: 'Google AlloyDB',
  azuresu: 'Azure Database for PostgreSQL',
  azure_pg_admin: 'Azure Database for PostgreSQL',
  neon_superuser: 'Neon',
};

/** What attaching runs, and what a person runs where the role may not. */
export const TURN_ON_SUMMARIES = [
  'ALTER SYSTEM SET summarize_wal = on;',
  'SELECT pg_catalog.pg_reload_conf();',
] as const;

export const SUMMARIES_OFF: CheckFinding = {
  severity: 'info',
  code: 'summarize_wal_off',
  message:
    'summarize_wal is off, so the server does not know what changed: fulls are taken instead of incrementals. Attaching turns it on where the role may.',
  statement: TURN_ON_SUMMARIES.join(' '),
};

export type ReplicationFindings = {
  readonly findings: readonly CheckFinding[];
  /** The managed service that forbids it, by name; null when a person can allow it. */
  readonly forbiddenBy: string | null;
};

/** A role may have the attribute and still find no line in pg_hba.conf: only a connection tells. */
export async function findForbiddenReplication(
  session: Session,
  connection: DatabaseConnection,
  context: EngineContext,
): Promise<ReplicationFindings> {
  let replication: Session | null = null;
  try {
    replication = await connect(connection, {
      signal: context.signal,
      applicationName: 'tidemark check',
      replication: true,
    });
    await replication.rows('IDENTIFY_SYSTEM');
    return { findings: [], forbiddenBy: null };
  } catch (error) {
    const known = Object.keys(PROVIDERS)
      .map((name) => `'${name}'`)
      .join(', ');
    const provider = await session.value(`SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN (${known}) LIMIT 1`);
    const forbiddenBy = provider === null ? null : (PROVIDERS[provider] ?? null);
    const words = mapConnectError(error, connection, 'replication').message;
    const hasAttribute = await session.value(
      'SELECT rolsuper OR rolreplication FROM pg_catalog.pg_roles WHERE rolname = current_user',
    );
    const role = quoteName(connection.username);
    // The address as the server sees it: what a line of pg_hba.conf must match.
    const address = (await session.value('SELECT pg_catalog.host(pg_catalog.inet_client_addr())')) ?? null;
    const place =
      address === null ? 'local replication' : `${connection.tls === null ? 'host' : 'hostssl'} replication`;
    const mask = address === null ? '' : ` ${address}/${address.includes(':') ? 128 : 32}`;
    const statement =
      hasAttribute === 't' ? `${place} ${role}${mask} scram-sha-256` : `ALTER ROLE ${role} REPLICATION;`;
    const remedy =
      hasAttribute === 't'
        ? 'Add the line to pg_hba.conf of the server and reload it.'
        : 'The role needs the REPLICATION attribute.';
    return {
      forbiddenBy,
      findings: [
        {
          severity: 'refuses',
          code: 'physical_replication_forbidden',
          message:
            forbiddenBy === null
              ? `Replication connections are refused: ${words} ${remedy}`
              : `${forbiddenBy} allows no physical replication: ${words}`,
          statement: forbiddenBy === null ? statement : null,
        },
      ],
    };
  }
}

/** Settings of the server that stand in the way of fulls, incrementals and the log archive. */
export async function findSettings(
  session: Session,
  major: string,
  wish: { readonly pitr: boolean; readonly incremental: boolean },
): Promise<CheckFinding[]> {
  const findings: CheckFinding[] = [];
  const [row] = await session.rows(`
    SELECT pg_catalog.current_setting('wal_level') AS wal_level, pg_catalog.current_setting('max_wal_senders') AS senders,
      pg_catalog.current_setting('max_slot_wal_keep_size') AS keep, pg_catalog.current_setting('max_replication_slots') AS slots,
      pg_catalog.current_setting('summarize_wal', true) AS summarize,
      (SELECT pg_catalog.count(*) FROM pg_catalog.pg_replication_slots)::text AS used`);
  if (row?.wal_level === 'minimal')
    findings.push({
      severity: 'refuses',
      code: 'wal_level',
      message: 'wal_level is minimal: the log does not hold what a physical backup needs. The change needs a restart.',
      statement: "ALTER SYSTEM SET wal_level = 'replica';",
    });
  const need = wish.pitr ? 3 : 2;
  if (Number(row?.senders) < need)
    findings.push({
      severity: 'refuses',
      code: 'max_wal_senders',
      message: `max_wal_senders is ${row?.senders}; a backup${wish.pitr ? ' beside the log archive' : ''} needs ${need}. The change needs a restart.`,
      statement: 'ALTER SYSTEM SET max_wal_senders = 10;',
    });
  if (wish.pitr && Number(row?.used) >= Number(row?.slots))
    findings.push({
      severity: 'refuses',
      code: 'max_replication_slots',
      message: `All ${row?.slots} replication slots of the server are in use; the log archive needs one. The change needs a restart.`,
      statement: `ALTER SYSTEM SET max_replication_slots = ${Number(row?.slots) + 5};`,
    });
  if (wish.pitr && row?.keep === '-1') findings.push(SLOT_LIMIT_UNSET);
  if (wish.incremental && Number(major) >= INCREMENTAL_FROM && row?.summarize !== 'on') findings.push(SUMMARIES_OFF);
  return findings;
}
