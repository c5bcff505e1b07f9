import { compareLogPositions } from '../../../domain/compare-positions.js';
import { incrementalKindOf } from '../../../domain/incremental-kind.js';
import type { ChainEngine } from '../../chain-engine.js';
import { configureArchive } from '../archive/configure-archive.js';
import { holdLog } from '../archive/hold-log.js';
import { nameInstance } from '../archive/name-instance.js';
import { openFollower } from '../archive/open-follower.js';
import { readLogEnd } from '../archive/read-log-end.js';
import { releaseArchive } from '../archive/release-archive.js';
import { configureIncrementals } from './configure-incrementals.js';
import { inspectServer } from './inspect-server.js';
import { openFull } from './open-full.js';
import { openIncremental } from './open-incremental.js';
import { recover } from './recover.js';
import { writeFiles } from './write-files.js';

export const postgresChainEngine: ChainEngine = {
  kind: 'postgresql',
  incrementalKind: incrementalKindOf,
  inspectServer,
  configureIncrementals,
  configureArchive,
  holdLog,
  nameInstance,
  releaseArchive,
  openFull,
  openIncremental,
  openFollower,
  readLogEnd,
  comparePositions: compareLogPositions,
  recover,
  writeFiles,
};
