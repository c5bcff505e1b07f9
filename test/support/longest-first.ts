import type { TestSpecification } from 'vitest/node';
import { BaseSequencer } from 'vitest/node';

/** Files that take long although they are small, the longest first: vitest goes by the size of a file it has not run yet. */
const longest = [
  'test/fault/archive-postgres.test.ts',
  'test/fault/archive-mysql-family.test.ts',
  'test/fault/archive-damaged-end.test.ts',
  'test/fault/worker-lost-postgres.test.ts',
  'test/e2e/pitr-mysql-family.test.ts',
  'test/engine/mysql-family-archive.test.ts',
  'test/e2e/pitr-postgres.test.ts',
  'test/fault/planted-secrets-chains.test.ts',
  'test/e2e/import.test.ts',
  'test/fault/archive-temporal-killed.test.ts',
  'test/fault/archive-promotion.test.ts',
  'test/fault/lost-state.test.ts',
  'test/e2e/policies-postgres.test.ts',
  'test/engine/mysql-family-recover.test.ts',
  'test/fault/killed-components.test.ts',
  'test/e2e/every-engine.test.ts',
  'test/fault/swap-undone.test.ts',
  'test/fault/planted-secrets.test.ts',
  'test/engine/postgres.test.ts',
  'test/engine/mysql-family-swap.test.ts',
  'test/e2e/usecases-reconcile.test.ts',
  'test/e2e/keys-cli.test.ts',
  'test/e2e/embedded.test.ts',
  'test/engine/mariadb.test.ts',
];

/** Starts with the longest files, so that at the end no worker waits for the other one. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = (file: TestSpecification) => {
      const place = longest.findIndex((name) => file.moduleId.endsWith(`/${name}`));
      return place < 0 ? longest.length : place;
    };
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}
