import { existsSync } from 'node:fs';
import { defineConfig } from 'vitest/config';

// Starts the shared database servers lazily and ends them with the run.
const globalSetup = existsSync('test/support/global-setup.ts') ? ['test/support/global-setup.ts'] : [];

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/fixtures/**'],
    // Forks, not threads: tests start servers, change signal handlers and load native add-ons.
    pool: 'forks',
    maxWorkers: 2,
    globalSetup,
    // Real servers start within these; a single test that needs longer says so itself.
    testTimeout: 120_000,
    hookTimeout: 180_000,
    teardownTimeout: 60_000,
    restoreMocks: true,
  },
});
