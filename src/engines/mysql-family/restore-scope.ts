import type { ServerIdentity } from '../../domain/positions.js';
import type { DatabaseConnection, EngineContext } from '../engine.js';
import type { Brand } from './brand.js';
import type { Session } from './session.js';

/** What the parts of a restore share. */
export type RestoreScope = {
  readonly brand: Brand;
  readonly connection: DatabaseConnection;
  readonly context: EngineContext;
  readonly server: ServerIdentity;
  readonly restoreId: string;
  readonly attempt: number;
  /** Connected to no database: the target is renamed and may not exist yet. */
  readonly control: Session;
  /** Name of all sessions of this attempt, as in the server's connection attributes. */
  readonly sessionName: string;
};
