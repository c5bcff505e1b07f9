import { chmodSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import { TidemarkError } from '../domain/errors.js';

/** Writes a small file so that a reader (and a crash) sees the old content or the new, never a part; 0600. */
export function writeStateFile(path: string, content: string): void {
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, content, { mode: 0o600 });
  // The mode above is not applied when the temporary file was there already.
  chmodSync(temporary, 0o600);
  renameSync(temporary, path);
}

/** Reads a JSON file written by us; null when it is not there. Throws `invalid_configuration` naming the file when it is damaged. */
export function readStateFile<T>(path: string, schema: z.ZodType<T>): T | null {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new TidemarkError('invalid_configuration', `The state file ${path} is damaged: it is not JSON.`);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new TidemarkError(
    'invalid_configuration',
    `The state file ${path} is damaged: ${z.prettifyError(parsed.error)}`,
  );
}
