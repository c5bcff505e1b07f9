import { serverErrorNumber } from '../failures.js';
import { quoteText } from '../quote.js';
import type { Session } from '../session.js';

/** Beside a full: the server's named time zones, as statements. A log holds sessions that used them, and a new server knows none. */
export const TIME_ZONES_FILE = 'time_zones.sql';

/** Rows in one statement: well below the packet of a server with default settings. */
const ROWS = 1_000;
/** Reading the tables is denied: then the replay says which zone it misses. */
const DENIED = new Set([1044, 1142, 1143, 1227]);

const tables = [
  { name: 'time_zone', columns: ['Time_zone_id', 'Use_leap_seconds'] },
  { name: 'time_zone_name', columns: ['Name', 'Time_zone_id'] },
  {
    name: 'time_zone_transition_type',
    columns: ['Time_zone_id', 'Transition_type_id', 'Offset', 'Is_DST', 'Abbreviation'],
  },
  { name: 'time_zone_leap_second', columns: ['Transition_time', 'Correction'] },
] as const;

const TRANSITIONS = 'mysql.time_zone_transition (`Time_zone_id`, `Transition_time`, `Transition_type_id`)';

const literal = (value: string | null) =>
  value !== null && /^-?\d{1,19}$/.test(value) ? value : quoteText(value ?? '');

/**
 * The statements that give a new server the same named time zones. Null when the server has none (then no session can have used one), or
 * the role may not read them. The source's own rows rather than this machine's files: their rules may be of another year.
 */
export async function readTimeZones(session: Session): Promise<Buffer | null> {
  try {
    if (Number((await session.raw('SELECT COUNT(*) AS n FROM mysql.time_zone_name'))[0]?.n ?? 0) === 0) return null;
    const lines = ['-- Named time zones of the server: its log may need them.'];
    for (const { name, columns } of tables) {
      const list = columns.map((column) => `\`${column}\``).join(', ');
      const rows = await session.raw(`SELECT ${list} FROM mysql.${name}`);
      const values = rows.map((row) => `(${columns.map((column) => literal(row[column] ?? null)).join(',')})`);
      lines.push(`DELETE FROM mysql.${name};`);
      for (let at = 0; at < values.length; at += ROWS)
        lines.push(`INSERT INTO mysql.${name} (${list}) VALUES ${values.slice(at, at + ROWS).join(',')};`);
    }
    // Hundreds of thousands: put together where they are, zone by zone.
    const transitions = await session.raw(
      `SELECT GROUP_CONCAT('(', Time_zone_id, ',', Transition_time, ',', Transition_type_id, ')') AS list
       FROM mysql.time_zone_transition GROUP BY Time_zone_id ORDER BY Time_zone_id`,
    );
    lines.push('DELETE FROM mysql.time_zone_transition;');
    for (const { list } of transitions) lines.push(`INSERT INTO ${TRANSITIONS} VALUES ${list ?? ''};`);
    // Ends as the dump tool's parts do: a reader tells by it that nothing was cut off.
    return Buffer.from(`START TRANSACTION;\n${lines.join('\n')}\nCOMMIT;\n-- Dump completed\n`, 'utf8');
  } catch (error) {
    if (DENIED.has(serverErrorNumber(error) ?? 0)) return null;
    throw error;
  }
}
