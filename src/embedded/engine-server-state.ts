/** What a server's folder remembers between starts (`server.json`, 0600), and what to do about a server that a killed run left on it. */
import { randomBytes, randomInt } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { TidemarkError } from '../domain/errors.js';
import type { EngineProduct } from '../platform/installed.js';
import { engineProductTitles } from '../platform/installed.js';
import { endProcessTree, isRunning, processMarkSchema, readCommandLine } from '../platform/processes.js';
import { readStateFile } from '../platform/state-file.js';

const stateSchema = z.object({
  product: z.string(),
  port: z.int(),
  adminPassword: z.string(),
  serverId: z.int(),
  /** False until the first start has given root its password. */
  ready: z.boolean(),
  socketDir: z.string().nullable(),
  server: processMarkSchema.nullable(),
  /** The process that started it. */
  owner: processMarkSchema.nullable(),
});
export type EngineServerState = z.infer<typeof stateSchema>;

/** Throws when the folder holds another product's data. */
export function readEngineServerState(file: string, product: EngineProduct): EngineServerState | null {
  const state = readStateFile(file, stateSchema);
  if (!state || state.product === product) return state;
  throw new TidemarkError(
    'component_failed',
    `${file} belongs to ${state.product}, not to ${engineProductTitles[product]}: choose another folder.`,
  );
}

export function newEngineServerState(product: EngineProduct): EngineServerState {
  return {
    product,
    port: 0,
    // Letters and digits: it is written into SQL text, option files and URLs.
    adminPassword: randomBytes(24).toString('hex'),
    serverId: randomInt(1, 2 ** 31),
    ready: false,
    socketDir: null,
    server: null,
    owner: null,
  };
}

/**
 * Ends a server that a killed run left on this data. Death with the parent makes that rare, but two servers on one data directory
 * destroy it, and a stale postmaster.pid whose number was given to another process keeps PostgreSQL from starting.
 */
export async function endLeftover(state: EngineServerState, data: string, signal: NodeJS.Signals): Promise<void> {
  const { server, owner } = state;
  if (server && isRunning(server)) {
    const mine = owner?.pid === process.pid;
    if (owner && (mine || isRunning(owner))) {
      throw new TidemarkError(
        'already_running',
        `A server on ${data} is already running (process ${server.pid}, started by process ${owner.pid}).`,
        { object: data },
      );
    }
    // Belt and braces: never end a process that does not look like ours.
    if (readCommandLine(server.pid).some((argument) => argument.includes(data) || argument.includes('server.cnf'))) {
      await endProcessTree(server, signal, 30_000);
    }
  }
  if (!server || !isRunning(server)) rmSync(join(data, 'postmaster.pid'), { force: true });
  if (state.socketDir) rmSync(state.socketDir, { recursive: true, force: true });
}
