import { z } from 'zod';

/**
 * What a sealed `Secret` row holds once opened, and the context it is sealed under. Use cases seal, workers open: both sides take the
 * shape and the context from here. The context binds the text to its row, so that a sealed text copied to another row does not open.
 */
export const databaseSecretSchema = z.object({ password: z.string() });
export type DatabaseSecret = z.infer<typeof databaseSecretSchema>;

export const destinationSecretSchema = z.object({ accessKeyId: z.string(), secretAccessKey: z.string() });
export type DestinationSecret = z.infer<typeof destinationSecretSchema>;

/** `purpose` column of a Secret row. A `target` secret is one-shot: it names the restore with which it dies. */
export const secretPurposes = ['database', 'destination', 'target'] as const;
export type SecretPurpose = (typeof secretPurposes)[number];

/** Encryption context of the sealed text of one Secret row. */
export function secretContext(installationId: string, secretId: string): Record<string, string> {
  return { installation: installationId, secret: secretId };
}
