import type { Brand } from '../brand.js';
import { serverErrorNumber } from '../failures.js';
import type { Session } from '../session.js';
import { readSystemZone, SYSTEM_ZONE } from './system-zone.js';

/**
 * Settings of a server on which the meaning of its log and dump depends beyond what both carry themselves: a sandbox is started with the
 * same. Those that only one brand or version knows are left out where they are unknown.
 */
const variables = [
  'lower_case_table_names',
  'innodb_page_size',
  'character_set_server',
  'collation_server',
  'sql_mode',
  'explicit_defaults_for_timestamp',
  'default_storage_engine',
  'default_week_format',
  'div_precision_increment',
  'innodb_strict_mode',
  'innodb_default_row_format',
  'innodb_ft_min_token_size',
  'innodb_ft_max_token_size',
  'ft_min_word_len',
  'ft_max_word_len',
  // MySQL
  'partial_revokes',
  'default_collation_for_utf8mb4',
  'restrict_fk_on_non_standard_key',
  'ngram_token_size',
  // MariaDB
  'old_mode',
  'character_set_collations',
  'system_versioning_innodb_algorithm_simple',
] as const;

/**
 * Of a full that was read from a replica: the place in its position is one of the primary's log before which it holds everything, but not
 * the first one after which it holds nothing. That is told by its GTIDs.
 */
export const FROM_REPLICA = 'from_replica';

/** Only in the record, for people: nothing is set by them. */
const remarks = ['version_comment', 'version_compile_os', 'system_time_zone', 'time_zone', 'have_ssl'] as const;

async function readVariable(session: Session, name: string): Promise<string | null> {
  try {
    return Object.values((await session.raw(`SELECT @@global.${name} AS value`))[0] ?? {})[0] ?? null;
  } catch (error) {
    // 1193: this server does not know it.
    if (serverErrorNumber(error) === 1193) return null;
    throw error;
  }
}

/** See ServerBackupResult.cluster. */
export async function readClusterFacts(session: Session, brand: Brand): Promise<Record<string, string>> {
  const facts: Record<string, string> = { engine: brand.kind };
  for (const name of [...variables, ...remarks]) {
    const value = await readVariable(session, name);
    if (value !== null) facts[name] = value;
  }
  const zone = await readSystemZone(session);
  if (zone !== null) facts[SYSTEM_ZONE] = zone;
  const plugins = await session.rows(
    "SELECT PLUGIN_NAME AS name, PLUGIN_LIBRARY AS plugin_file FROM information_schema.PLUGINS WHERE PLUGIN_STATUS = 'ACTIVE' AND PLUGIN_LIBRARY IS NOT NULL ORDER BY 1",
  );
  facts.plugins = plugins.map((row) => `${row.name}=${row.plugin_file}`).join(' ');
  return facts;
}

/** Lines for the sandbox's option file; `at` the creation of its data, only these hold for ever. */
export function sandboxSettings(cluster: Readonly<Record<string, string>>): [string, string][] {
  const lines: [string, string][] = [];
  for (const name of variables) {
    const value = cluster[name];
    // A line end would be another option.
    if (value === undefined || !/^[\w ,.:+=/-]*$/.test(value)) continue;
    // `loose-`: another minor version may have dropped one, which must not keep the sandbox from starting.
    lines.push([`loose-${name.replaceAll('_', '-')}`, value]);
  }
  return lines;
}
