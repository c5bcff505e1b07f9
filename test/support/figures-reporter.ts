import { writeFileSync } from 'node:fs';
import type { Reporter, SerializedError, TestModule } from 'vitest/node';

/** What a run of the tests comes to. A file that could not be loaded and an error outside any test are failures too. */
type Figures = { passed: number; failed: number; skipped: number };

/** `312 passed, 0 failed`; skipped tests are named only when there are any. */
function figuresLine({ passed, failed, skipped }: Figures): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

/** Ends the run with one line of figures, and writes them as JSON to the file named by TIDEMARK_TEST_FIGURES, for `.ci/run`. */
export default class FiguresReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    const figures: Figures = { passed: 0, failed: errors.length, skipped: 0 };
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed') figures.passed += 1;
        else if (state === 'skipped') figures.skipped += 1;
        // `pending` after the run: it never came to an end.
        else figures.failed += 1;
      }
      // A hook that failed, or a file that threw while loading, leaves its tests skipped or unknown, not failed.
      figures.failed += [module, ...module.children.allSuites()].filter((suite) => suite.errors().length > 0).length;
    }
    const file = process.env.TIDEMARK_TEST_FIGURES;
    if (file) writeFileSync(file, JSON.stringify(figures));
    console.log(figuresLine(figures));
  }
}
