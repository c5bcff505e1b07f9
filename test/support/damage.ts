import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { backupPrefix } from '../../src/storage/layout.js';
import type { ArchivedServer } from './archived-server.js';
import { storedKeys } from './run-helpers.js';
import type { RunStack } from './run-stack.js';

/** Changes one byte in the middle of a file. */
export function flipByte(path: string): void {
  const content = readFileSync(path);
  const middle = content.length >> 1;
  content[middle] = (content[middle] ?? 0) ^ 1;
  writeFileSync(path, content);
}

/** Where the store keeps an object. */
export const storedPath = (stack: RunStack, { bucket }: ArchivedServer, key: string): string =>
  join(stack.store.dataDir, bucket, key);

/** The file of the largest object of a backup: what it holds is read only when it is recovered. */
export async function largestOf(stack: RunStack, server: ArchivedServer, backupId: string): Promise<string> {
  const prefix = `${backupPrefix(server.serverId, backupId)}/`;
  const keys = (await storedKeys(stack, server.bucket)).filter((key) => key.startsWith(prefix));
  const paths = keys.map((key) => storedPath(stack, server, key));
  const [largest] = paths.sort((a, b) => statSync(b).size - statSync(a).size);
  if (largest === undefined) throw new Error(`nothing is stored of ${backupId}`);
  return largest;
}
