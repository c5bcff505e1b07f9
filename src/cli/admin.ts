import type { Command } from 'commander';
import { openCatalog } from '../catalog/client.js';
import { applyMigrations } from '../catalog/migrate.js';
import { loadConfig } from '../config.js';
import { openHomeDatabase } from '../embedded/open-home-database.js';
import { createLogger } from '../platform/logger.js';
import { resetAdmin } from '../usecases/auth/reset-admin.js';

/** `tidemark admin reset`: for whoever may use this machine, when nobody can sign in any more. */
export function registerAdmin(program: Command): void {
  const admin = program.command('admin').description('Accounts, for the operator of this machine');
  admin
    .command('reset')
    .description('Give an administrator a new password and token, and end the earlier ones')
    .option('--email <address>', 'which one; default: the first administrator. An unknown address becomes a new one')
    .action(async (options: { email?: string }) => {
      const config = loadConfig();
      const logger = createLogger({ level: 'warn', name: 'admin' });
      const database = await openHomeDatabase(config, logger);
      try {
        await applyMigrations(database.url);
        const catalog = openCatalog(database.url);
        try {
          const { email, credentialsFile } = await resetAdmin(catalog, config.home, { email: options.email });
          // The path, never what is in it: terminals are logged and shared.
          console.log(`${email} has a new password and token; earlier tokens and sessions have ended.`);
          console.log(`They are in ${credentialsFile}`);
        } finally {
          await catalog.close();
        }
      } finally {
        await database.close();
      }
    });
}
