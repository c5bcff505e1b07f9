import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServerBackupSession } from '../engines/chain-engine.js';
import type { DumpPart, DumpSession } from '../engines/engine.js';

/** Lets a test stop a worker at an exact place, or need not sit out a wait. Without TIDEMARK_FAULTS, as in production, neither does anything. */
export type Faults = {
  readonly active: boolean;
  reach(place: string, signal?: AbortSignal): Promise<void>;
  /** How long a wait is, in milliseconds: as given, or as a test says. */
  waitMs(name: string, ms: number): number;
};

export const noFaults: Faults = { active: false, reach: async () => {}, waitMs: (_name, ms) => ms };

/**
 * `pause-at=<place>[,<place>…];dir=<folder>`: the first run to arrive at a place writes `<folder>/<place>.reached` with our pid and waits
 * until `<folder>/<place>.go` exists; later ones pass. A test then kills or stops the process between two statements instead of
 * hoping to hit them, several runs at several places at once. `wait=<name>:<milliseconds>` makes a wait as long as that.
 */
export function parseFaults(text: string | undefined): Faults {
  if (text === undefined) return noFaults;
  const settings = new Map(
    text.split(';').map((part) => {
      const at = part.indexOf('=');
      return [part.slice(0, at), part.slice(at + 1)] as const;
    }),
  );
  const places = settings.get('pause-at')?.split(',') ?? [];
  const dir = settings.get('dir') ?? '';
  const [waiting, length] = settings.get('wait')?.split(':') ?? [];
  if (waiting === undefined && (places.length === 0 || dir === ''))
    throw new Error('TIDEMARK_FAULTS takes pause-at=<place>;dir=<folder>, wait=<name>:<milliseconds>, or both');
  return {
    active: places.length > 0,
    waitMs: (name, ms) => (name === waiting ? Number(length) : ms),
    async reach(place, signal) {
      if (!places.includes(place) || !claim(join(dir, `${place}.reached`))) return;
      while (!existsSync(join(dir, `${place}.go`))) {
        signal?.throwIfAborted();
        await sleep(20);
      }
    },
  };
}

function claim(path: string): boolean {
  try {
    writeFileSync(path, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Lets a test stop while a dump tool is running: after its first bytes have passed. The session itself when no faults are asked for. */
export function pausingSession(session: DumpSession, faults: Faults, signal: AbortSignal): DumpSession {
  if (!faults.active) return session;
  return {
    ...session,
    parts: pausingParts(session.parts, faults, signal),
    fingerprint: (onTable) => session.fingerprint(onTable),
    close: () => session.close(),
  };
}

/** As `pausingSession`, for a full or incremental. */
export function pausingServerSession(
  session: ServerBackupSession,
  faults: Faults,
  signal: AbortSignal,
): ServerBackupSession {
  if (!faults.active) return session;
  return {
    ...session,
    parts: pausingParts(session.parts, faults, signal),
    fingerprint: (database, onTable) => session.fingerprint(database, onTable),
    finish: () => session.finish(),
    close: () => session.close(),
  };
}

function pausingParts(parts: readonly DumpPart[], faults: Faults, signal: AbortSignal): DumpPart[] {
  return parts.map((part) => ({
    ...part,
    start: () => {
      const { stdout, done } = part.start();
      const gated = Readable.from(pauseAfterFirst(stdout, faults, signal), { objectMode: false });
      return { stdout: gated, done };
    },
  }));
}

async function* pauseAfterFirst(stdout: Readable, faults: Faults, signal: AbortSignal): AsyncGenerator<Buffer> {
  let first = true;
  for await (const chunk of stdout) {
    yield chunk;
    if (first) await faults.reach('dump-running', signal);
    first = false;
  }
}
