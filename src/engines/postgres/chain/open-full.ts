import type { ServerBackupSession } from '../../chain-engine.js';
import type { DatabaseConnection, EngineContext } from '../../engine.js';
import { openBaseBackup } from './open-base-backup.js';
import { openSource } from './open-source.js';

/** A copy of the whole cluster with the log it needs, as one tar. */
export async function openFull(
  connection: DatabaseConnection,
  context: EngineContext,
  options: { readonly label: string; readonly fingerprint: boolean },
): Promise<ServerBackupSession> {
  const source = await openSource(connection, context);
  return openBaseBackup(source, connection, context, { label: options.label, parent: null, parentManifest: null });
}
