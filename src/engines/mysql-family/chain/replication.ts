import { GtidPosition } from '../binlog/gtid-position.js';
import { GtidSet } from '../binlog/gtid-set.js';
import type { Brand } from '../brand.js';
import type { Row, Session } from '../session.js';

/** What one brand tells of a replica. */
type Replication = {
  /** The connections by which it replicates: none, when it is no replica. */
  readonly status: string;
  readonly isReceiving: (row: Row) => boolean;
  readonly isApplying: (row: Row) => boolean;
  /** The server from which it receives, and how that one calls itself. */
  readonly sourceOf: (row: Row) => string;
  readonly ownName: string;
  /** Transactions that its data holds. Exact in the session's snapshot. */
  applied(session: Session): Promise<string>;
  /** Transactions that a primary has executed, as text for `lacking`. */
  executed(session: Session): Promise<string>;
  /** What of `wanted` is missing in `has`; null when nothing is. */
  lacking(has: string, wanted: string): string | null;
  /** As `lacking`, of two places in one history. */
  behind(has: string, wanted: string): string | null;
  /** What a replica's own log holds, as text for `lacking`. */
  logged(session: Session): Promise<string>;
};

const oneLine = (text: string | null) => (text ?? '').replaceAll('\n', '');

function missingOf(has: string, wanted: string): string | null {
  const missing = GtidSet.parse(has).missing(GtidSet.parse(wanted));
  return missing.isEmpty ? null : missing.toString();
}

function without(wanted: string, isThere: (gtid: string) => boolean): string | null {
  const missing = wanted.split(',').filter((gtid) => gtid.trim() !== '' && !isThere(gtid));
  return missing.length === 0 ? null : missing.map((gtid) => gtid.trim()).join(', ');
}

const mysql: Replication = {
  status: 'SHOW REPLICA STATUS',
  isReceiving: (row) => row.Replica_IO_Running === 'Yes',
  isApplying: (row) => row.Replica_SQL_Running === 'Yes',
  sourceOf: (row) => row.Source_UUID ?? '',
  ownName: 'SELECT @@global.server_uuid',
  applied: async (session) => oneLine(await session.value('SELECT @@global.gtid_executed')),
  executed: async (session) => oneLine(await session.value('SELECT @@global.gtid_executed')),
  logged: async () => '',
  lacking: missingOf,
  behind: missingOf,
};

const mariadb: Replication = {
  status: 'SHOW ALL SLAVES STATUS',
  isReceiving: (row) => row.Slave_IO_Running === 'Yes',
  isApplying: (row) => row.Slave_SQL_Running === 'Yes',
  sourceOf: (row) => row.Master_Server_Id ?? '',
  ownName: 'SELECT @@global.server_id',
  // Written by the transactions themselves, unlike the variable, which is set a moment after them.
  applied: async (session) => {
    const rows = await session.rows(
      'SELECT domain_id, server_id, seq_no FROM mysql.gtid_slave_pos ORDER BY domain_id, sub_id',
    );
    const position = new GtidPosition();
    for (const row of rows) position.add(`${row.domain_id}-${row.server_id}-${row.seq_no}`);
    return position.toString();
  },
  // The greatest number of every server in every domain: where the last one stands says nothing of those before it.
  executed: async (session) => oneLine(await session.value('SELECT @@global.gtid_binlog_state')),
  logged: async (session) => oneLine(await session.value('SELECT @@global.gtid_binlog_state')),
  lacking: (has, wanted) => {
    const known = GtidPosition.parse(has);
    return without(wanted, (gtid) => known.knows(gtid));
  },
  behind: (has, wanted) => {
    const reached = GtidPosition.parse(has);
    return without(wanted, (gtid) => reached.reaches(gtid));
  },
};

export const replicationOf = (brand: Brand): Replication => (brand.kind === 'mysql' ? mysql : mariadb);

/** Why what a replica holds may not be all that its source has: something is left out; null when it replicates everything. */
export function filterOf(row: Row): string | null {
  const found = Object.entries(row).filter(
    ([name, value]) =>
      /^Replicate_(Do|Ignore|Wild|Rewrite)/i.test(name) && name !== 'Replicate_Ignore_Server_Ids' && value,
  );
  return found.length === 0 ? null : found.map(([name, value]) => `${name}=${value}`).join('; ');
}
