import type { DatabaseConnection, EngineContext } from '../engine.js';
import type { Session } from './connect.js';
import type { Snapshot } from './snapshot.js';

/** What the parts of a restore share. */
export type RestoreScope = {
  readonly maintenance: Session;
  readonly connection: DatabaseConnection;
  readonly context: EngineContext;
  readonly server: Snapshot['server'];
  readonly restoreId: string;
  readonly attempt: number;
  readonly applicationName: string;
  /** Settings for sessions inside a restored database. */
  readonly settings: Readonly<Record<string, string>>;
};
