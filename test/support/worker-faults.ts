import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { until } from './until.js';

/** Places at which a worker of this file's service pauses once, so that a test acts exactly there (see src/activities/faults.ts). */
export interface WorkerFaults {
  /** For the environment of the service. */
  readonly env: { readonly TIDEMARK_FAULTS: string };
  /** Waits until a run stands at the place. */
  reached(place: string): Promise<number>;
  /** Lets it go on. */
  go(place: string): void;
  /** Forgets that it was reached, so that the next run stops there again. */
  arm(place: string): void;
}

export function useWorkerFaults(places: readonly string[]): WorkerFaults {
  const dir = mkdtempSync(join(tmpdir(), 'tm-faults-'));
  const path = (place: string, what: 'reached' | 'go') => join(dir, `${place}.${what}`);
  // Not armed until a test says so: the runs before it pass.
  for (const place of places) writeFileSync(path(place, 'reached'), '0');
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  return {
    env: { TIDEMARK_FAULTS: `pause-at=${places.join(',')};dir=${dir}` },
    async reached(place) {
      await until(() => Promise.resolve(existsSync(path(place, 'reached'))), `a run to reach ${place}`, 60_000);
      return Number(readFileSync(path(place, 'reached'), 'utf8'));
    },
    go: (place) => writeFileSync(path(place, 'go'), ''),
    arm(place) {
      rmSync(path(place, 'go'), { force: true });
      rmSync(path(place, 'reached'), { force: true });
    },
  };
}
