import type { Engine } from '../engine.js';
import type { Brand } from './brand.js';
import { checkDatabase } from './check.js';
import { openDump } from './open-dump.js';
import { openRestore } from './open-restore.js';

/** The engine of one brand of the family. */
export function createFamilyEngine(brand: Brand): Engine {
  return {
    kind: brand.kind,
    check: (connection, context) => checkDatabase(brand, connection, context),
    openDump: (connection, context, options) => openDump(brand, connection, context, options),
    openRestore: (connection, context, options) => openRestore(brand, connection, context, options),
  };
}
