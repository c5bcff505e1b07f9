/** `TIDEMARK_HOME/run.json` (0600): where everything of a running `tidemark up` is. Gone when nothing runs. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { readStateFile, writeStateFile } from '../platform/state-file.js';

const runInfoSchema = z.object({
  api: z.string(),
  docs: z.string(),
  temporalUi: z.string().nullable(),
  s3: z.object({
    endpoint: z.string(),
    region: z.string(),
    bucket: z.string(),
    accessKeyId: z.string(),
    secretAccessKey: z.string(),
    forcePathStyle: z.literal(true),
  }),
  mail: z.object({ smtp: z.string(), view: z.string() }).nullable(),
  /** `up` itself and each component that is a process and runs. */
  pids: z.record(z.string(), z.int()),
});

export type RunInfo = z.infer<typeof runInfoSchema>;

export function writeRunFile(home: string, info: RunInfo): void {
  writeStateFile(join(home, 'run.json'), `${JSON.stringify(info, null, 2)}\n`);
}

/** null when nothing runs there. After a crash the file is still there: look whether `pids.up` lives. */
export function readRunFile(home: string): RunInfo | null {
  return readStateFile(join(home, 'run.json'), runInfoSchema);
}

export function removeRunFile(home: string): void {
  rmSync(join(home, 'run.json'), { force: true });
}
