import { TidemarkError } from '../../../domain/errors.js';
import type { Brand } from '../brand.js';
import { placeOf, serverErrorNumber } from '../failures.js';
import type { Structure } from '../fingerprint.js';
import { readStructure } from '../fingerprint.js';
import type { Moment, Opening } from '../open-moment.js';
import { openLocked, openQuiet } from '../open-moment.js';
import type { Session } from '../session.js';
import { listTablesOf } from '../table-shapes.js';
import { listDatabases } from './list-databases.js';
import { readAccountStatements } from './read-accounts.js';
import type { ReplicaOf } from './replica-of.js';

/** Tries to find definitions and accounts unchanged around the moment of the snapshot. */
const STILL_TRIES = 5;

/** What no snapshot holds: it is read before and after the moment, and must not have changed in between. */
export type Surroundings = {
  readonly databases: readonly string[];
  readonly structures: ReadonlyMap<string, Structure>;
  readonly accounts: readonly string[];
};

async function readStructures(session: Session, brand: Brand): Promise<Omit<Surroundings, 'accounts'>> {
  const databases = await listDatabases(session);
  const structures = new Map<string, Structure>();
  for (const { schema, tables } of await listTablesOf(session, databases)) {
    structures.set(schema, await readStructure(session, brand, schema, tables));
  }
  return { databases, structures };
}

async function readSurroundings(session: Session, brand: Brand): Promise<Surroundings> {
  return { ...(await readStructures(session, brand)), accounts: await readAccountStatements(session, brand) };
}

const asText = ({ databases, structures, accounts }: Surroundings) =>
  JSON.stringify([databases, [...structures], accounts]);

/** What the dump tool writes: grants are none of it. */
export function definitionsOf(structure: Structure | undefined): string {
  const { accounts, grants_read, ...settings } = structure?.database ?? {};
  return JSON.stringify([settings, structure?.objects.map(({ grants, ...object }) => object)]);
}

/** XA transactions that are prepared and not decided: their rows are in no snapshot, and the log after it only has their COMMIT. */
async function preparedTransactions(session: Session): Promise<number> {
  try {
    return (await session.raw('XA RECOVER')).length;
  } catch (error) {
    // Without the privilege to see them (MySQL: XA_RECOVER_ADMIN).
    if (serverErrorNumber(error) === null) throw error;
    return 0;
  }
}

/** A database that a replica has otherwise than its primary, by name; null when there is none. Replicas turn events off, for example. */
async function differing(replica: Session, brand: Brand, around: Surroundings): Promise<string | null> {
  const { databases, structures } = await readStructures(replica, brand);
  const all = new Set([...databases, ...around.databases]);
  return (
    [...all].find((name) => definitionsOf(structures.get(name)) !== definitionsOf(around.structures.get(name))) ?? null
  );
}

/**
 * Opens the snapshots at a moment around which nothing changed that no snapshot holds. What a replica is read for is its primary:
 * definitions, with their owners and grants, and accounts are those of the primary, and the replica's definitions must be the same.
 */
export async function openStill(
  brand: Brand,
  control: Session,
  reader: Session,
  startTool: Opening['startTool'],
  origin: ReplicaOf | null,
): Promise<{ readonly moment: Moment; readonly around: Surroundings }> {
  const server = origin?.primary ?? control;
  for (let attempt = 1; ; attempt++) {
    const around = await readSurroundings(server, brand);
    if (around.databases.length === 0)
      throw new TidemarkError('database_missing', 'The server has no database that a full could hold.');
    await origin?.begin();
    let before: string | null = null;
    const opening: Opening = {
      brand,
      schemas: around.databases,
      control,
      reader,
      startTool: async (databases) => {
        before = await brand.commitMark(reader);
        return startTool(databases);
      },
      disturbed: async () => {
        if ((await brand.commitMark(reader)) !== before) return 'something else was committed meanwhile';
        const prepared = await preparedTransactions(reader);
        if (prepared > 0) return `${prepared} XA transactions are prepared and not decided`;
        return (await origin?.missing(reader)) ?? null;
      },
    };
    const locked = await openLocked(opening);
    const moment = 'reason' in locked ? await openQuiet(opening, locked.reason) : locked;
    const other = origin === null ? null : await differing(control, brand, around);
    const isStill = other === null && asText(await readSurroundings(server, brand)) === asText(around);
    if (moment.unavailable !== null || isStill) return { moment, around };
    await moment.dump.kill();
    if (attempt >= STILL_TRIES) {
      const what =
        other === null
          ? `Definitions or accounts of the server of ${placeOf(server.connection)} changed`
          : `Definitions in ${other} of the replica ${placeOf(control.connection)} are not those of its primary, as they are with events, or they changed,`;
      throw new TidemarkError(
        'source_changed_during_dump',
        `${what} in each of ${STILL_TRIES} tries to begin the full.`,
        { object: control.connection.database },
      );
    }
  }
}
