import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { clearInUseFlag } from '../../src/engines/mysql-family/binlog/in-use-flag.js';
import type { TestEngine } from './engine-servers.js';

/** Stored binary logs against the server's own, byte for byte but for the flag of the active file; how many the server still has. */
export function compareBinlogs(server: TestEngine, dir: string, files: readonly { name: string; bytes: number }[]) {
  let compared = 0;
  const there = readdirSync(server.engineDataDir);
  for (const { name, bytes } of files) {
    if (!there.includes(name)) continue;
    const own = readFileSync(join(server.engineDataDir, name));
    clearInUseFlag(own, 0);
    const mine = readFileSync(join(dir, name));
    expect(mine.length, name).toBe(bytes);
    // Only the newest file may have gone on since.
    if (name !== files.at(-1)?.name) expect(mine.length, name).toBe(own.length);
    expect(mine.equals(own.subarray(0, bytes)), name).toBe(true);
    compared += 1;
  }
  return compared;
}
