/** A spool is written without waiting for its disk: after a start of the machine, what was not written in time would have holes. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const BOOT_MARK = 'boot';

const bootId = () => readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '');

/** Whether what lies in the folder was written since the machine started; no when that cannot be told. */
export async function isOfThisBoot(dir: string): Promise<boolean> {
  const boot = await bootId();
  return boot !== '' && boot === (await readFile(join(dir, BOOT_MARK), 'utf8').catch(() => null));
}

/** On a full disk it stays without a mark: then nothing is kept after a start, and the source sends it again. */
export async function markBoot(dir: string): Promise<void> {
  try {
    await writeFile(join(dir, BOOT_MARK), await bootId(), { mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  }
}
