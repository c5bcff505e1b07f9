import type { Fingerprint } from '../../domain/fingerprint.js';
import { enabledText } from './event-state.js';
import { assembleFingerprint, readCounters, readRows, readStructure } from './fingerprint.js';
import { isStaging } from './restore-names.js';
import type { RestoreNotes } from './restore-notes.js';
import { readNotes } from './restore-notes.js';
import type { RestoreScope } from './restore-scope.js';
import { claimRole } from './restore-sessions.js';
import type { Session } from './session.js';
import { openSession } from './session.js';
import { withoutNotes } from './staging.js';
import { listTables } from './table-shapes.js';

/** Tables that are read at the same time. */
const READERS = ['reader-1', 'reader-2'] as const;

/** Grants and the state of events take effect with the swap, from these notes: here they are shown as they will be. */
function applyNotes(print: Fingerprint, notes: RestoreNotes): Fingerprint {
  const enabled = new Set(notes.enabledEvents);
  return {
    ...print,
    database: { ...print.database, ...notes.surroundings },
    objects: print.objects.map((object) => ({
      ...object,
      // A grant on the staging database itself is not expected and must show.
      grants: [...new Set([...object.grants, ...(notes.grants[`${object.type} ${object.name}`] ?? [])])],
      definition:
        object.type === 'event' && enabled.has(object.name) ? enabledText(object.definition) : object.definition,
    })),
  };
}

/** The fingerprint of a database on the target server that nobody writes to. */
export async function fingerprintRestored(
  scope: RestoreScope,
  database: string,
  onTable?: (done: number, total: number) => void,
): Promise<Fingerprint> {
  const { brand, connection, context } = scope;
  const sessions: Session[] = [];
  try {
    for (const role of READERS) {
      const session = await openSession(connection, { database, name: scope.sessionName, signal: context.signal });
      sessions.push(session);
      await claimRole(session, scope.restoreId, role);
    }
    const [first] = sessions;
    if (!first) throw new Error('no session');
    const tables = withoutNotes(await listTables(first, database));
    const counters = await readCounters(first, database, tables);
    const structure = await readStructure(first, brand, database, tables);
    const rows = await readRows(sessions, database, tables, onTable);
    const print = assembleFingerprint(brand, structure, counters, rows);
    const notes = isStaging(database) ? await readNotes(scope.control, database) : null;
    return notes ? applyNotes(print, notes) : print;
  } finally {
    for (const session of sessions) await session.close();
  }
}
