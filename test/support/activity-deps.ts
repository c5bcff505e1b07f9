/** What activities work with, for tests that run one of them by itself on the real catalog, store and servers of a stack. */
import { join } from 'node:path';
import type { ActivityDeps } from '../../src/activities/deps.js';
import { parseFaults } from '../../src/activities/faults.js';
import { loadConfig } from '../../src/config.js';
import { enginesRoot } from '../../src/platform/installed.js';
import type { RunStack } from './run-stack.js';

export function activityDeps({ context, home }: Pick<RunStack, 'context' | 'home'>): ActivityDeps {
  return {
    catalog: context.catalog,
    masterKey: context.masterKey,
    installationId: context.installationId,
    toolRoots: [enginesRoot(loadConfig().install)],
    options: {
      scratchRoot: join(home, 'scratch-of-test'),
      spoolRoot: join(home, 'spool-of-test'),
      sandboxRoot: join(home, 'sandboxes-of-test'),
      directoryRoots: [home],
      assertHostAllowed: async () => {},
      mail: { url: undefined, from: 'Tidemark <tidemark@localhost>', publicUrl: undefined },
      version: 'test',
    },
    logger: context.logger,
    faults: parseFaults(undefined),
  };
}
