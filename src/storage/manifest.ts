import { z } from 'zod';
import { logPositionSchema, serverIdentitySchema } from '../domain/positions.js';
import { backupOwner } from './layout.js';

/** One stored object of an artifact. `sha256`/`bytes` are of the plain bytes it carries, `stored…` of what lies in the store (hex). */
export const storedObjectSchema = z.object({
  key: z.string(),
  bytes: z.number().int().nonnegative(),
  sha256: z.string(),
  storedBytes: z.number().int().nonnegative(),
  storedSha256: z.string(),
});
export type StoredObject = z.infer<typeof storedObjectSchema>;

/** One file of a backup, kept in one or more objects (each at most 64 GiB). */
export const artifactSchema = z.object({
  name: z.string(),
  /** `base`: a physical copy. `sidecar`: a small file that belongs to it (backup_manifest, accounts). The fingerprints of a whole server are numbered as `chain.databases`. */
  role: z.enum(['dump', 'fingerprint', 'base', 'sidecar']),
  tool: z.object({ name: z.string(), version: z.string() }).nullable(),
  bytes: z.number().int().nonnegative(),
  sha256: z.string(),
  objects: z.array(storedObjectSchema).min(1),
});
export type Artifact = z.infer<typeof artifactSchema>;

/**
 * The manifest of a backup (design section 3): written last and conditionally; no manifest, no backup. `mac` is an HMAC-SHA-256 over the
 * canonical JSON of all other fields under a key derived from the wrapping key.
 */
export const manifestSchema = z.object({
  format: z.literal('tidemark-manifest-1'),
  installationId: z.string(),
  backupId: z.string(),
  attemptId: z.string(),
  databaseId: z.string(),
  planId: z.string().nullable(),
  kind: z.enum(['dump', 'full', 'incremental', 'baseline']),
  parentId: z.string().nullable(),
  /** Only of fulls and incrementals, which hold a whole server: whose chain they are of, and what a sandbox must know. Objects lie under `serverId`. */
  chain: z
    .object({
      serverId: z.string(),
      policyId: z.string(),
      chainId: z.string(),
      incremental: z.enum(['physical', 'log']).nullable(),
      /** The log archive's epoch at the backup; null when nothing archived. */
      epoch: z.number().int().nullable(),
      databases: z.array(z.string()),
      cluster: z.record(z.string(), z.string()),
      sourceRole: z.enum(['primary', 'replica']),
      policyName: z.string().optional(),
      /** Registered databases that the chain served, whichever of them the backup was asked for. */
      attached: z.array(z.object({ databaseId: z.string(), name: z.string(), database: z.string() })).optional(),
    })
    .optional(),
  /** What only the catalog knows otherwise, for an import into another one. Manifests of older builds have none. */
  about: z.object({ trigger: z.string(), databaseName: z.string(), planName: z.string().nullable() }).optional(),
  label: z.string().nullable(),
  source: serverIdentitySchema.extend({ host: z.string(), port: z.number(), database: z.string() }),
  toolVersion: z.string(),
  startedAt: z.string(),
  /** Source's clock at the snapshot. */
  takenAt: z.string(),
  completedAt: z.string(),
  startPosition: logPositionSchema,
  endPosition: logPositionSchema,
  artifacts: z.array(artifactSchema),
  /** Null with the reason when no fingerprint could be read at the exact position. */
  fingerprint: z.object({ artifact: z.string(), tables: z.number().int(), rows: z.string() }).nullable(),
  fingerprintUnavailable: z.string().nullable(),
  encryption: z
    .object({
      suite: z.string(),
      keyId: z.string(),
      /** The wrapping key sealed under the master key (base64), so that destination + master key suffice. */
      sealedKey: z.string(),
    })
    .nullable(),
  /**
   * The wrapping key that `mac` was made with, sealed under the master key: the one of `encryption`, or the installation's own for a plan
   * without encryption.
   */
  macKey: z.object({ keyId: z.string(), sealedKey: z.string() }),
  mac: z.string(),
});
export type Manifest = z.infer<typeof manifestSchema>;

/** Under whose name the objects of a manifest lie: its server's when it is of a chain, else its database's. */
export const manifestOwner = (manifest: Pick<Manifest, 'databaseId' | 'chain'>) =>
  backupOwner({ databaseId: manifest.databaseId, serverId: manifest.chain?.serverId ?? null });
