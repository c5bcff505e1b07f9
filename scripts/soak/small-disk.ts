import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A file system small enough to be filled. */
export type SmallDisk = {
  readonly path: string;
  /** Why there is none; null when there is one. */
  readonly skipped: string | null;
  /** Leaves about so many bytes. */
  fill(leaveBytes: number): void;
  free(): void;
  unmount(): void;
};

/** A tmpfs of 48 MiB at `path`; only root may mount one. */
export function mountSmallDisk(path: string): SmallDisk {
  mkdirSync(path, { recursive: true });
  let skipped: string | null = null;
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=48m,mode=0700', 'tidemark-soak', path], { stdio: 'pipe' });
  } catch (error) {
    skipped = `no small file system could be mounted: ${error instanceof Error ? error.message.split('\n')[0] : error}`;
  }
  const filler = join(path, 'filler');
  return {
    path,
    skipped,
    fill(leaveBytes) {
      const { bavail, bsize } = statfsSync(path);
      const size = bavail * bsize - leaveBytes;
      if (size > 0) writeFileSync(filler, Buffer.alloc(size));
    },
    free: () => rmSync(filler, { force: true }),
    unmount() {
      if (skipped === null) execFileSync('umount', ['--lazy', path], { stdio: 'pipe' });
    },
  };
}
