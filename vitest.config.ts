import { defineConfig } from 'vitest/config';
import { LongestFirst } from './test/support/longest-first.js';

if (Number(process.versions.node.split('.')[0]) < 24) {
  throw new Error(
    `Tidemark runs on Node 24 or later, this is ${process.version}; use \`npm test\`, which takes Node 24 from node_modules.`,
  );
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/fixtures/**'],
    // Forks, not threads: tests start servers, change signal handlers and load native add-ons.
    pool: 'forks',
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
    // Starts the shared database servers lazily and ends them with the run.
    globalSetup: ['test/support/global-setup.ts'],
    setupFiles: ['test/support/own-temp-folder.ts'],
    reporters: ['default', './test/support/figures-reporter.ts'],
    // Real servers start within these; a single test that needs longer says so itself.
    testTimeout: 120_000,
    hookTimeout: 180_000,
    teardownTimeout: 60_000,
    // In the gate only: real servers on a shared machine have bad seconds. The reporter names every test that needed its second try, and
    // such a test is a bug to be found, not a pass to be proud of.
    retry: process.env.CI ? 1 : 0,
    restoreMocks: true,
  },
});
