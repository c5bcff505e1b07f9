import { createReadStream, createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { ReplayFile } from './plan-replay.js';

/** Bytes of what a replay wants of a file. */
export const wantedBytes = (file: ReplayFile | undefined): number =>
  file === undefined ? 4 : file.bytes - (file.skip === null ? 0 : file.skip.to - file.skip.from);

/** Copies of a log file what a replay wants of it into a new file. */
export async function copyWanted(from: string, to: string, { bytes, skip }: ReplayFile): Promise<void> {
  async function* wanted() {
    const parts =
      skip === null
        ? [[0, bytes]]
        : [
            [0, skip.from],
            [skip.to, bytes],
          ];
    for (const [start = 0, end = 0] of parts) if (end > start) yield* createReadStream(from, { start, end: end - 1 });
  }
  await pipeline(wanted, createWriteStream(to, { mode: 0o600, flags: 'wx' }));
}
