import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { readStateFile, writeStateFile } from '../../platform/state-file.js';

/** Name of the file below TIDEMARK_HOME that holds generated credentials (0600). */
export const credentialsFileName = 'admin-credentials';

const credentialsSchema = z.object({
  email: z.string(),
  password: z.string().optional(),
  token: z.string().optional(),
});
/** What was generated; what the operator gave by the environment is not repeated here. */
export type AdminCredentials = z.infer<typeof credentialsSchema>;

export function credentialsPath(home: string): string {
  return join(home, credentialsFileName);
}

/** Writes the file (0600) and returns its path, which may be printed; its content never is. */
export function writeCredentials(home: string, credentials: AdminCredentials): string {
  mkdirSync(home, { recursive: true, mode: 0o700 });
  writeStateFile(credentialsPath(home), `${JSON.stringify(credentials, null, 2)}\n`);
  return credentialsPath(home);
}

/** The generated credentials, or null when there is no such file. */
export function readCredentials(home: string): AdminCredentials | null {
  return readStateFile(credentialsPath(home), credentialsSchema);
}
