import { join } from 'node:path';
import { z } from 'zod';
import type { Config } from '../config.js';
import { isTidemarkError, TidemarkError } from '../domain/errors.js';
import type { Logger } from '../platform/logger.js';
import { readStateFile } from '../platform/state-file.js';
import { EmbeddedState } from './embedded-state.js';
import { endLeftovers, lockHome } from './home-lock.js';
import { placeForServers } from './server-place.js';
import { databaseUrl, defineDatabase } from './start-database.js';

const passwordSchema = z.object({ databasePassword: z.string() });
const serverSchema = z.object({ port: z.int() });

/**
 * The catalog for a command on this machine: that of DATABASE_URL, else the embedded one, which is used as it runs or started for the
 * time of the command. `close` ends what this started. Throws `invalid_configuration` when the home holds no catalog.
 */
export async function openHomeDatabase(
  config: Config,
  logger: Logger,
): Promise<{ url: string; serviceRuns: boolean | null; close(): Promise<void> }> {
  const nothing = async () => undefined;
  // Who else uses a catalog elsewhere cannot be known here.
  if (config.databaseUrl !== undefined) return { url: config.databaseUrl, serviceRuns: null, close: nothing };
  const { home } = config;
  const known = readStateFile(join(home, 'embedded.json'), passwordSchema);
  const place = join(placeForServers(home), 'database');
  const server = readStateFile(join(place, 'server.json'), serverSchema);
  if (!known || !server) {
    throw new TidemarkError(
      'invalid_configuration',
      `${home} holds no catalog yet. Start Tidemark there once, set TIDEMARK_HOME to its folder, or set DATABASE_URL.`,
    );
  }
  let lock: { release(): Promise<void> };
  try {
    lock = await lockHome(home);
  } catch (error) {
    if (!isTidemarkError(error) || error.code !== 'already_running') throw error;
    return { url: databaseUrl(server.port, known.databasePassword), serviceRuns: true, close: nothing };
  }
  try {
    await endLeftovers(home, logger);
    const database = defineDatabase(home, new EmbeddedState(home), config.install);
    const running = await database.component.start();
    const close = async () => {
      await running.stop();
      await lock.release();
    };
    return { url: database.url(), serviceRuns: false, close };
  } catch (error) {
    await lock.release();
    throw error;
  }
}
