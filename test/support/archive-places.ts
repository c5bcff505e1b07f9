/** What tests of a log archive share, whatever the engine: folders of their own, the receivers that run, and chunks without a hole. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect } from 'vitest';
import { uniqueName } from './engine-servers.js';

export type ArchivePlaces = { readonly slot: string; readonly dir: string; readonly spoolDir: string };

/** A store and a spool per call; gone when the test file ends. */
export function useArchivePlaces(): () => ArchivePlaces {
  const folders: string[] = [];
  afterAll(() => {
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  });
  return () => {
    const base = mkdtempSync(join(tmpdir(), 'tm-log-'));
    folders.push(base);
    return { slot: uniqueName('tidemark'), dir: join(base, 'store'), spoolDir: join(base, 'spool') };
  };
}

/** Process ids of the programs of that name one of whose arguments begins like this. */
export function findReceivers(program: RegExp, argument: string): number[] {
  return readdirSync('/proc').flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      const args = readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0');
      return program.test(args[0] ?? '') && args.some((arg) => arg.startsWith(argument)) ? [Number(entry)] : [];
    } catch {
      return [];
    }
  });
}

/** Every chunk begins where the one before it ended. */
export function expectUnbroken(chunks: readonly { start: unknown; end: unknown }[]): void {
  for (let i = 1; i < chunks.length; i += 1) expect(chunks[i]?.start).toEqual(chunks[i - 1]?.end);
}
