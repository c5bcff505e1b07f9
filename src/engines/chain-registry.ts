import type { EngineKind } from '../domain/engine-kinds.js';
import { TidemarkError } from '../domain/errors.js';
import type { ChainEngine } from './chain-engine.js';
import { mariadbChainEngine } from './mariadb/chain-engine.js';
import { mysqlChainEngine } from './mysql/chain-engine.js';
import { postgresChainEngine } from './postgres/chain/engine.js';

const engines: Partial<Record<EngineKind, ChainEngine>> = {
  postgresql: postgresChainEngine,
  mysql: mysqlChainEngine,
  mariadb: mariadbChainEngine,
};

/** What an engine of that kind does for whole servers. Throws `not_supported` when this build has nothing of it. */
export function getChainEngine(kind: EngineKind): ChainEngine {
  const engine = engines[kind];
  if (engine === undefined)
    throw new TidemarkError('not_supported', `This build takes no backups of whole servers of ${kind}.`);
  return engine;
}
