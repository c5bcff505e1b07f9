import { statfs } from 'node:fs/promises';

/** With less than this free a disk counts as full; with twice as much there is room again. */
const LEAST_FREE_BYTES = 2 * 1024 * 1024;

/**
 * Why nothing more can be written into a folder, or null. For programs that do not say so themselves: mysqlbinlog goes on over an empty
 * file, and looks connected.
 */
export async function findFullDisk(dir: string, wasFull: boolean): Promise<string | null> {
  const { bavail, bsize } = await statfs(dir);
  const free = bavail * bsize;
  return free < (wasFull ? 2 * LEAST_FREE_BYTES : LEAST_FREE_BYTES)
    ? `No space left on device: ${free} bytes are free in ${dir}; receiving goes on when there are more.`
    : null;
}
