import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DumpSession } from '../engines/engine.js';

/** Lets a test stop a worker at an exact place. Without TIDEMARK_FAULTS, as in production, `reach` does nothing. */
export type Faults = { readonly active: boolean; reach(place: string): Promise<void> };

export const noFaults: Faults = { active: false, reach: async () => {} };

/**
 * `pause-at=<place>;dir=<folder>`: at the first arrival there `<folder>/<place>.reached` is written with our pid, and the activity waits
 * until `<folder>/<place>.go` exists. A test then kills or stops the process between two statements instead of hoping to hit them.
 */
export function parseFaults(text: string | undefined): Faults {
  if (text === undefined) return noFaults;
  const settings = new Map(
    text.split(';').map((part) => {
      const at = part.indexOf('=');
      return [part.slice(0, at), part.slice(at + 1)] as const;
    }),
  );
  const wanted = settings.get('pause-at');
  const dir = settings.get('dir');
  if (wanted === undefined || dir === undefined) throw new Error('TIDEMARK_FAULTS takes pause-at=<place>;dir=<folder>');
  return {
    active: true,
    async reach(place) {
      const reached = join(dir, `${place}.reached`);
      if (place !== wanted || existsSync(reached)) return;
      writeFileSync(reached, String(process.pid));
      while (!existsSync(join(dir, `${place}.go`))) await sleep(20);
    },
  };
}

/** Lets a test stop while a dump tool is running: after its first bytes have passed. The session itself when no faults are asked for. */
export function pausingSession(session: DumpSession, faults: Faults): DumpSession {
  if (!faults.active) return session;
  const parts = session.parts.map((part) => ({
    ...part,
    start: () => {
      const { stdout, done } = part.start();
      const gated = Readable.from(pauseAfterFirst(stdout, faults), { objectMode: false });
      return { stdout: gated, done };
    },
  }));
  return {
    ...session,
    parts,
    fingerprint: (onTable) => session.fingerprint(onTable),
    close: () => session.close(),
  };
}

async function* pauseAfterFirst(stdout: Readable, faults: Faults): AsyncGenerator<Buffer> {
  let first = true;
  for await (const chunk of stdout) {
    yield chunk;
    if (first) await faults.reach('dump-running');
    first = false;
  }
}
