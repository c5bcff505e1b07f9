import type { Engine } from '../engine.js';
import { checkPostgres } from './check.js';
import { openPostgresDump } from './open-dump.js';
import { openPostgresRestore } from './open-restore.js';

export const postgresEngine: Engine = {
  kind: 'postgresql',
  check: checkPostgres,
  openDump: openPostgresDump,
  openRestore: openPostgresRestore,
};
