import { chmodSync, copyFileSync, statSync, truncateSync } from 'node:fs';

/** A log that grew beyond this is put aside, in bytes; one older is kept. */
const LIMIT = 20 * 1024 * 1024;

const EVERY_MS = 10 * 60_000;

/** Puts the content of logs that grew too large into `<log>.1`. The file itself stays: the programs that write to it keep it open, to append. */
export function trimLogs(paths: readonly string[], limit: number = LIMIT): void {
  for (const path of paths) {
    if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) <= limit) continue;
    try {
      copyFileSync(path, `${path}.1`);
      chmodSync(`${path}.1`, 0o600);
    } finally {
      // Also when the copy finds the disk full: then room matters more than old lines.
      truncateSync(path, 0);
    }
  }
}

/** Now and every ten minutes; returns what ends it. */
export function keepLogsSmall(paths: readonly string[], onError: (error: unknown) => void): () => void {
  const trim = () => {
    try {
      trimLogs(paths);
    } catch (error) {
      onError(error);
    }
  };
  trim();
  const timer = setInterval(trim, EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}
