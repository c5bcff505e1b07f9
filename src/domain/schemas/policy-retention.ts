import { z } from 'zod';
import { backupKinds } from '../statuses.js';
import { idSchema, timestamp } from './common.js';

const decidedBackupSchema = z.object({
  backupId: idSchema('backup'),
  kind: z.enum(backupKinds),
  takenAt: timestamp.nullable(),
  storedBytes: z.int().nullable(),
  because: z.string(),
});

const chainPreviewSchema = z.object({
  chainId: idSchema('chain'),
  serverId: idSchema('server'),
  heldBecause: z.string().nullable().meta({ description: 'Set when nothing is decided now, and why.' }),
  promisedFrom: timestamp
    .nullable()
    .meta({ description: 'Points from here on are kept, as far as they are restorable.' }),
  removes: z.array(decidedBackupSchema).meta({ description: 'Dependents before what they are built on.' }),
  keeps: z.array(decidedBackupSchema).meta({ description: 'Newest first.' }),
  log: z
    .object({
      removes: z.object({ slices: z.int(), storedBytes: z.int(), until: timestamp.nullable() }),
      keeps: z.object({ slices: z.int(), storedBytes: z.int() }),
    })
    .meta({ description: 'Slices of the log archive; `until`: the latest moment that one of those that go covers.' }),
});

export const policyRetentionPreviewSchema = z
  .object({ policyId: idSchema('policy'), chains: z.array(chainPreviewSchema) })
  .meta({ id: 'PolicyRetentionPreview', description: 'What retention would remove now of each server, and why.' });
export type PolicyRetentionPreview = z.infer<typeof policyRetentionPreviewSchema>;
