import { isTidemarkError } from '../../../domain/errors.js';
import type { ParentBackup, ServerBackupSession } from '../../chain-engine.js';
import type { DatabaseConnection, EngineContext } from '../../engine.js';
import { mapQueryError } from '../map-error.js';
import { readManifestRanges } from './backup-tap.js';
import { TURN_ON_SUMMARIES } from './find-log-findings.js';
import { refuseIncremental } from './incremental-refusals.js';
import { openBaseBackup } from './open-base-backup.js';
import type { OpenedSource } from './open-source.js';
import { openSource } from './open-source.js';
import { INCREMENTAL_FROM, MANIFEST_NAME } from './programs.js';

/** What can be told before the tool is asked, with a plainer sentence than its own. */
async function readParent(source: OpenedSource, parent: ParentBackup): Promise<Buffer> {
  const { server, session } = source;
  if (Number(server.major) < INCREMENTAL_FROM) throw refuseIncremental('version');
  if (parent.server.identity !== server.identity || parent.server.major !== server.major)
    throw refuseIncremental('identity');
  if ((await session.value("SELECT pg_catalog.current_setting('summarize_wal')")) !== 'on')
    throw refuseIncremental('summaries_off', undefined, TURN_ON_SUMMARIES.join(' '));
  try {
    const manifest = await parent.open(MANIFEST_NAME);
    readManifestRanges(manifest);
    return manifest;
  } catch (error) {
    // A store that does not answer now is another matter: the run is tried again.
    if (isTidemarkError(error) && !/^(object|manifest)_/.test(error.code)) throw error;
    throw refuseIncremental('manifest');
  }
}

/** The blocks that changed since `parent`, as one tar. Throws `incremental_impossible`; `details.object` says why (`IncrementalRefusal`). */
export async function openIncremental(
  connection: DatabaseConnection,
  context: EngineContext,
  options: { readonly label: string; readonly parent: ParentBackup },
): Promise<ServerBackupSession> {
  const source = await openSource(connection, context);
  let parentManifest: Buffer;
  try {
    parentManifest = await readParent(source, options.parent);
  } catch (error) {
    await source.session.close();
    throw mapQueryError(error, connection, 'Preparing the incremental backup failed', 'dump_failed');
  }
  return openBaseBackup(source, connection, context, { label: options.label, parent: options.parent, parentManifest });
}
