import type { EngineKind } from '../domain/engine-kinds.js';
import { TidemarkError } from '../domain/errors.js';
import type { Engine } from './engine.js';
import { mariadbEngine } from './mariadb/engine.js';
import { mysqlEngine } from './mysql/engine.js';
import { postgresEngine } from './postgres/engine.js';

const engines: Partial<Record<EngineKind, Engine>> = {
  postgresql: postgresEngine,
  mysql: mysqlEngine,
  mariadb: mariadbEngine,
};

/** The engine of that kind. Throws `not_supported` when this build has none. */
export function getEngine(kind: EngineKind): Engine {
  const engine = engines[kind];
  if (engine === undefined) throw new TidemarkError('not_supported', `This build has no engine for ${kind}.`);
  return engine;
}
