import { TidemarkError } from '../../../domain/errors.js';
import type { ChainEngine } from '../../chain-engine.js';
import { comparePositions } from '../archive/compare-positions.js';
import { readLogEnd } from '../archive/read-log-end.js';
import type { Brand } from '../brand.js';
import { inspectServer } from './inspect-server.js';
import { openFull } from './open-full.js';
import { recover } from './recover.js';
import { writeFiles } from './write-files.js';

/** What one brand of the family does for whole servers. */
export function createFamilyChainEngine(brand: Brand): ChainEngine {
  return {
    kind: brand.kind,
    incrementalKind: () => 'log',
    inspectServer: (connection, context, wish) => inspectServer(brand, connection, context, wish),
    // The server keeps its log by its own rules: there is nothing to make, and nothing to take back.
    configureArchive: async (connection, context) => ({
      position: (await readLogEnd(brand, connection, context)).position,
      findings: [],
    }),
    releaseArchive: async () => {},
    openFull: (connection, context, options) => openFull(brand, connection, context, options),
    openIncremental: async () => {
      throw new TidemarkError('not_supported', `An incremental of ${brand.title} is its log since the parent.`);
    },
    openFollower: async () => {
      throw new TidemarkError('not_supported', `This build does not follow the log of ${brand.title}.`);
    },
    readLogEnd: (connection, context) => readLogEnd(brand, connection, context),
    comparePositions: (a, b) => comparePositions(brand.kind, a, b),
    recover: (context, options) => recover(brand, context, options),
    writeFiles: (_context, options) => writeFiles(brand, options),
  };
}
