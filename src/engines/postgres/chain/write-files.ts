import { appendFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TidemarkError } from '../../../domain/errors.js';
import type { FetchedOptions } from '../../chain-engine.js';
import type { EngineContext } from '../../engine.js';
import { buildData } from './build-data.js';
import { requireStoredLog } from './log-continuity.js';
import type { CreatedTablespace } from './map-tablespaces.js';
import { mapTablespaces } from './map-tablespaces.js';
import { findSandboxPrograms } from './programs.js';
import type { Tablespace } from './read-cluster.js';
import { timelineSetting } from './recover.js';
import { recoveryTargetSettings, requireAfterBackup } from './recovery-settings.js';

/** A text as a value in a configuration file. */
const quoted = (value: string) => `'${value.replaceAll("'", "''")}'`;

/**
 * A data directory that recovers to the target when a server of its major is started on it: the backups unpacked and combined, verified file
 * by file, the recovery settings last in `postgresql.auto.conf`, where they win, and the log beside it.
 */
export async function writeFiles(context: EngineContext, options: FetchedOptions): Promise<{ readme: string }> {
  const newest = options.backups.at(-1);
  if (newest === undefined) throw new TidemarkError('backup_not_restorable', 'There is no backup to write.');
  const { major } = options.server;
  requireAfterBackup(options.target, {
    endLsn: newest.endPosition.lsn ?? '0/0',
    takenAt: newest.cluster.takenAt ?? null,
  });
  const data = join(options.dir, 'data');
  const control = await buildData(
    {
      dir: options.dir,
      data,
      programs: await findSandboxPrograms(major, context.toolRoots),
      major: Number(major),
      // The files are those of whoever asked for them.
      user: undefined,
      signal: context.signal,
    },
    options.backups,
    options.onPhase,
  );
  const needsLog = options.target.kind !== 'end_of_backup' && options.logEnd !== null;
  const log =
    needsLog && options.logEnd !== null
      ? requireStoredLog(options, newest.endPosition, options.logEnd, control.segmentBytes, join(data, 'pg_wal'))
      : null;
  // Whoever starts it on the source's own host must not meet the folders of the living server.
  const created = await mapTablespaces(
    [join(data, 'pg_wal'), ...(log === null ? [] : [log.dir])],
    control.segmentBytes,
    context.signal,
  );
  const stored = JSON.parse(newest.cluster.tablespaces ?? '[]') as Tablespace[];
  const settings = {
    ...(log === null ? { recovery_target: 'immediate' } : recoveryTargetSettings(options.target)),
    ...timelineSetting(newest, log),
    ...(log === null ? {} : { restore_command: `cp "${options.logDir}/%f" "%p"` }),
    recovery_target_action: 'promote',
    archive_mode: 'off',
    primary_conninfo: '',
    primary_slot_name: '',
    // Else recovery takes folders in the place of links for what a crash left, and ends.
    ...(stored.length > 0 || created.length > 0 ? { allow_in_place_tablespaces: 'on' } : {}),
  };
  for (const name of ['standby.signal', 'postmaster.pid', 'tablespace_map']) rmSync(join(data, name), { force: true });
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${quoted(value)}`);
  appendFileSync(join(data, 'postgresql.auto.conf'), `\n# Written by tidemark extract\n${lines.join('\n')}\n`);
  writeFileSync(join(data, 'recovery.signal'), '', { mode: 0o600 });
  return { readme: readme(options, data) + tablespaceNotes(data, stored, created) };
}

/** Nothing for a cluster without tablespaces. */
function tablespaceNotes(data: string, stored: readonly Tablespace[], created: readonly CreatedTablespace[]): string {
  const later = created.filter(({ oid }) => !stored.some((one) => one.oid === String(oid)));
  if (stored.length === 0 && later.length === 0) return '';
  const place = (oid: number | string) => join(data, 'pg_tblspc', String(oid));
  const lines = [
    ...stored.map(
      ({ oid, name, location }) => `  ${name}: ${place(oid)}, at the source ${location || 'in the same place'}`,
    ),
    ...later.map(({ oid, location }) => `  created in the log: ${place(oid)}, at the source ${location}`),
  ];
  return `
Tablespaces are folders of this data directory, and not where the source keeps them:

${lines.join('\n')}

That is why allow_in_place_tablespaces is on in postgresql.auto.conf. To have one on a disk of its own, while the server is stopped: move its folder there and put a symbolic link in its place,
  mv ${place('OID')} /new/place && ln -s /new/place ${place('OID')}
`;
}

function readme({ server, target, logDir }: FetchedOptions, data: string): string {
  const point = target.kind === 'time' ? target.time : target.kind === 'position' ? target.position : target.kind;
  return `PostgreSQL ${server.version} of ${server.identity}, set up to recover to: ${point}

Start it with PostgreSQL ${server.major} as the user who is to own it, never as root:

  chown -R postgres: ${data} ${logDir}
  pg_ctl -D ${data} -o "-p 5433" -w -t 86400 start

It replays the log in ${logDir}, stops at the point and opens for writing. The server's log says where it stopped
("recovery stopping before commit of transaction ..."). When it ends with "recovery ended before configured recovery target was
reached", nothing was committed after the point in the stored log: remove the line recovery_target_time or recovery_target_lsn
from ${join(data, 'postgresql.auto.conf')} and start it again.

- Configuration kept outside of the data directory (Debian) is not in a backup: give your own with -o "-c config_file=...".
- If it does not start, look at listen_addresses, shared_preload_libraries and paths in postgresql.conf: they are the source's.
- Accounts and passwords are the source's too.
`;
}
