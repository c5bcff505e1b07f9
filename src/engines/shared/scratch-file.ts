import { randomBytes } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export type ScratchFile = { readonly path: string; remove(): Promise<void> };

/**
 * Writes a file that only this user can read (0600), under a new name in the run's scratch folder. For what a program reads from a file
 * because its arguments are visible to everybody: passwords, certificates, option files.
 */
export async function writeScratchFile(
  scratchDir: string,
  name: string,
  content: string | Buffer,
): Promise<ScratchFile> {
  const path = join(scratchDir, `${randomBytes(6).toString('hex')}-${name}`);
  // `wx`: a file somebody prepared under this name would keep their permissions.
  await writeFile(path, content, { mode: 0o600, flag: 'wx' });
  return { path, remove: () => rm(path, { force: true }) };
}
