import { TidemarkError } from '../../../domain/errors.js';
import { incrementalKindOf } from '../../../domain/incremental-kind.js';
import type { ChainEngine } from '../../chain-engine.js';
import { compareGtids, comparePositions } from '../archive/compare-positions.js';
import { configureArchive } from '../archive/configure-archive.js';
import { judgeSuccessor } from '../archive/judge-successor.js';
import { openFollower } from '../archive/open-follower.js';
import { readLogEnd } from '../archive/read-log-end.js';
import { releaseArchive } from '../archive/release-archive.js';
import type { Brand } from '../brand.js';
import { findReplicaFault } from './find-replica-fault.js';
import { inspectServer } from './inspect-server.js';
import { openFull } from './open-full.js';
import { recover } from './recover.js';
import { writeFiles } from './write-files.js';

/** What one brand of the family does for whole servers. */
export function createFamilyChainEngine(brand: Brand): ChainEngine {
  return {
    kind: brand.kind,
    incrementalKind: incrementalKindOf,
    inspectServer: (connection, context, wish) => inspectServer(brand, connection, context, wish),
    configureArchive: (connection, context) => configureArchive(brand, connection, context),
    releaseArchive,
    openFull: (connection, context, options) => openFull(brand, connection, context, options),
    findReplicaFault: (replica, context, options) => findReplicaFault(brand, replica, context, options),
    openIncremental: async () => {
      throw new TidemarkError('not_supported', `An incremental of ${brand.title} is its log since the parent.`);
    },
    openFollower: (connection, context, options) => openFollower(brand, connection, context, options),
    readLogEnd: (connection, context) => readLogEnd(brand, connection, context),
    judgeSuccessor: (connection, context, options) => judgeSuccessor(brand, connection, context, options),
    lacksStored: (end, stored) => stored.gtidSet !== undefined && compareGtids(brand.kind, end, stored) < 0,
    comparePositions: (a, b) => comparePositions(brand.kind, a, b),
    recover: (context, options) => recover(brand, context, options),
    writeFiles: ({ signal }, options) => writeFiles(brand, options, signal),
  };
}
