import { TidemarkError } from '../../../domain/errors.js';
import type { LogPosition, ServerIdentity } from '../../../domain/positions.js';
import type { Brand } from '../brand.js';
import { placeOf } from '../failures.js';
import type { Moment } from '../open-moment.js';
import { readClock, readServer } from '../server.js';
import type { Session } from '../session.js';
import { replicationOf } from './replication.js';

/**
 * What a full that is read from a replica says of its primary: the log that continues it is the primary's, whose files and clock are others.
 * Its position is the transactions that the replica holds, and for the place a point of the primary's log before which it holds everything.
 */
export interface ReplicaOf {
  readonly primary: Session;
  readonly server: ServerIdentity;
  /** Before a snapshot: reads where the primary stands. */
  begin(): Promise<void>;
  /** In the snapshot: what is still missing of that, in words; null when all of it is there. */
  missing(reader: Session): Promise<string | null>;
  /** The moment of the snapshot in terms of the primary. Throws `source_changed_during_dump` for one that cannot be told in them. */
  translate(moment: Moment, reader: Session): Promise<Moment>;
}

export async function openReplicaOf(brand: Brand, primary: Session, replica: Session): Promise<ReplicaOf> {
  const how = replicationOf(brand);
  let place: LogPosition = {};
  let wanted = '';
  const refuse = (why: string) =>
    new TidemarkError(
      'source_changed_during_dump',
      `The replica ${placeOf(replica.connection)} cannot be read: ${why}.`,
      {
        object: replica.connection.host,
      },
    );
  return {
    primary,
    server: await readServer(primary, brand),
    begin: async () => {
      // In this order: what is logged before the place is among the transactions.
      place = await brand.position(primary);
      wanted = (await brand.position(primary)).gtidSet ?? '';
      if (place.file === undefined) throw refuse('its primary does not tell where its log stands');
    },
    missing: async (reader) => {
      const missing = how.behind(await how.applied(reader), wanted);
      return missing === null ? null : `the replica is behind its primary, and lacks ${missing}`;
    },
    translate: async (moment, reader) => {
      const held = brand.kind === 'mysql' ? (moment.position.gtidSet ?? '') : await how.applied(reader);
      // The primary's clock after the moment: whatever the replica holds was committed before it.
      const takenAt = await readClock(primary);
      const stranger = how.lacking(await how.executed(primary), held);
      if (stranger !== null) throw refuse(`it holds transactions that its primary does not have: ${stranger}`);
      const late = how.behind(held, wanted);
      if (late !== null) throw refuse(`it lacks ${late}`);
      const moved = held.split(',').filter((gtid) => !wanted.split(',').includes(gtid));
      // Domains are applied beside each other: the replica may have more of one and less of another than any point of the log.
      if (brand.kind === 'mariadb' && moved.length > 1)
        throw refuse(
          'several GTID domains were written to while the full began, so that no point of the log is its own',
        );
      const { file, filePosition } = place;
      return {
        ...moment,
        takenAt,
        position: {
          ...(held === '' ? {} : { gtidSet: held }),
          ...(file === undefined ? {} : { file }),
          ...(filePosition === undefined ? {} : { filePosition }),
        },
      };
    },
  };
}
