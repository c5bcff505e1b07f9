/** What a sandbox's folder remembers of its server (`sandbox.json`, 0600), so that a killed run's server is ended before its data goes. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { TidemarkError } from '../../domain/errors.js';
import {
  endProcessTree,
  isRunning,
  markProcess,
  processMarkSchema,
  readCommandLine,
} from '../../platform/processes.js';
import { readStateFile, writeStateFile } from '../../platform/state-file.js';

const stateSchema = z.object({
  server: processMarkSchema.nullable(),
  /** The process that started it. */
  owner: processMarkSchema.nullable(),
});

const stateFile = (dir: string) => join(dir, 'sandbox.json');

/** Call it as soon as the server's process is there. */
export function recordSandbox(dir: string, pid: number): void {
  const state: z.infer<typeof stateSchema> = { server: markProcess(pid), owner: markProcess(process.pid) };
  writeStateFile(stateFile(dir), JSON.stringify(state));
}

/** Call it when the server's process has ended. */
export function forgetSandbox(dir: string): void {
  rmSync(stateFile(dir), { force: true });
}

/**
 * Ends the server that a killed run left in this folder; does nothing when there is none. To be called before the folder is used or
 * removed. Throws `already_running` when the run that owns it is alive.
 */
export async function endLeftoverSandbox(dir: string): Promise<void> {
  const state = readStateFile(stateFile(dir), stateSchema);
  if (!state) return;
  const { server, owner } = state;
  if (server && isRunning(server)) {
    if (owner && isRunning(owner))
      throw new TidemarkError(
        'already_running',
        `The sandbox in ${dir} is in use (process ${server.pid}, started by process ${owner.pid}).`,
        { object: dir },
      );
    // Belt and braces: never end a process that does not look like ours.
    if (readCommandLine(server.pid).some((argument) => argument.includes(dir)))
      await endProcessTree(server, 'SIGKILL', 0);
  }
  forgetSandbox(dir);
}
