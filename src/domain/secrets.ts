import { z } from 'zod';

/**
 * What a sealed `Secret` row holds once opened (JSON). Use cases seal, workers open: both sides take the shape from here, and the
 * context from `secretContext` in keys/seal.ts.
 */
export const databaseSecretSchema = z.object({ password: z.string() });
export type DatabaseSecret = z.infer<typeof databaseSecretSchema>;

export const destinationSecretSchema = z.object({ accessKeyId: z.string(), secretAccessKey: z.string() });
export type DestinationSecret = z.infer<typeof destinationSecretSchema>;

/** `purpose` column of a Secret row. A `target` secret is one-shot: it names the restore with which it dies. */
export const secretPurposes = ['database', 'destination', 'target'] as const;
export type SecretPurpose = (typeof secretPurposes)[number];
