#!/usr/bin/env node
/** The `tidemark` command. */
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import type { ErrorCode } from '../domain/errors.js';
import { errorTable, isTidemarkError } from '../domain/errors.js';
import { hideKnownWarnings } from '../platform/known-warnings.js';

/**
 * Each command is loaded only when it is asked for (or for the help): `tidemark doctor` must answer where the libraries of a worker
 * would not even load.
 */
const commands: Record<string, () => Promise<(program: Command) => void>> = {
  up: async () => (await import('./up.js')).registerUp,
  serve: async () => (await import('./serve.js')).registerServe,
  worker: async () => (await import('./worker.js')).registerWorker,
  admin: async () => (await import('./admin.js')).registerAdmin,
  keys: async () => (await import('./keys.js')).registerKeys,
  extract: async () => (await import('./extract.js')).registerExtract,
  import: async () => (await import('./import.js')).registerImport,
  doctor: async () => (await import('./doctor.js')).registerDoctor,
};

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** What the table says to somebody who sent a request would mislead at a prompt; null: the message itself says what to do. */
const remediesHere: Partial<Record<ErrorCode, string | null>> = {
  invalid_request: 'Add --help for what the command takes.',
  target_exists: null,
};

/** What a person needs: what failed and the next step. The stack is for bugs alone. */
function explain(error: unknown): string {
  if (isTidemarkError(error)) {
    const here = remediesHere[error.code];
    const remedy = here === undefined ? errorTable[error.code].remedy : here;
    return remedy === null ? `${error.message}\n` : `${error.message}\n${remedy}\n`;
  }
  if (error instanceof Error) return `An unexpected error: ${error.stack ?? error.message}\n`;
  return `An unexpected error: ${String(error)}\n`;
}

hideKnownWarnings();

const program = new Command('tidemark')
  .description('Backups and proven restores of PostgreSQL, MySQL and MariaDB')
  .version(version())
  .showHelpAfterError('(add --help for what it takes)');

const asked = process.argv.slice(2).find((argument) => !argument.startsWith('-'));
const load = asked === undefined ? undefined : commands[asked];
for (const command of load ? [load] : Object.values(commands)) (await command())(program);

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(explain(error));
  process.exitCode = 1;
}
