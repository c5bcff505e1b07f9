import { findFirstAdmin } from '../catalog/accounts/users.js';
import { openCatalog } from '../catalog/client.js';
import { findInstallation } from '../catalog/installations.js';
import type { Config } from '../config.js';
import { loadConfig } from '../config.js';
import { TidemarkError } from '../domain/errors.js';
import { openHomeDatabase } from '../embedded/open-home-database.js';
import type { LoadedMasterKey } from '../keys/master-key.js';
import { loadMasterKey } from '../keys/master-key.js';
import { verifyMasterKey } from '../keys/seal.js';
import { createLogger } from '../platform/logger.js';
import type { KeyContext, Principal } from '../usecases/context.js';

export type Session = {
  readonly config: Config;
  readonly context: KeyContext;
  readonly principal: Principal;
  readonly master: LoadedMasterKey;
  /** null: a catalog elsewhere, nobody can tell. */
  readonly serviceRuns: boolean | null;
};

/**
 * Opens the catalog of this machine's home, or of DATABASE_URL, for its operator, who counts as the first administrator. Throws
 * `wrong_master_key`, and `invalid_configuration` when Tidemark was never started there. `name` is that of the command, in logs.
 */
export async function withSession(name: string, work: (session: Session) => Promise<void>): Promise<void> {
  const config = loadConfig();
  const master = loadMasterKey({ home: config.home, fromEnv: config.masterKey, create: false });
  const database = await openHomeDatabase(config, createLogger({ level: 'warn', name }));
  try {
    const catalog = openCatalog(database.url);
    try {
      const installation = await findInstallation(catalog.prisma);
      if (!installation) throw new TidemarkError('invalid_configuration', 'The catalog is empty. Start Tidemark once.');
      await verifyMasterKey(master.key, installation.id, installation.masterKeyCheck);
      const admin = await findFirstAdmin(catalog.prisma);
      if (!admin) throw new TidemarkError('invalid_configuration', 'There is no administrator. Start Tidemark once.');
      const context = { catalog, masterKey: master.key, installationId: installation.id };
      const principal: Principal = {
        userId: admin.id,
        role: 'admin',
        scopes: ['admin'],
        tokenId: null,
        requestId: null,
      };
      await work({ config, context, principal, master, serviceRuns: database.serviceRuns });
    } finally {
      await catalog.close();
    }
  } finally {
    await database.close();
  }
}
