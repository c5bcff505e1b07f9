import type { Fingerprint } from '../domain/fingerprint.js';
import type { DumpSession } from '../engines/engine.js';
import type { Artifact } from '../storage/manifest.js';
import type { AttemptStorage } from './take-parts.js';
import { takeParts, writeSmallArtifact } from './take-parts.js';

export const FINGERPRINT_NAME = 'fingerprint.json';

export type TakeDumpOptions = AttemptStorage & {
  readonly session: DumpSession;
  readonly signal: AbortSignal;
  /** Plain bytes of the dump so far, all parts together; the fingerprint's own bytes are not counted. */
  readonly onBytes: (bytes: number) => void;
  readonly onTable: (done: number, total: number) => void;
};

export type TakenDump = { readonly artifacts: readonly Artifact[]; readonly fingerprint: Fingerprint | null };

/** Streams every part of a dump into the destination, and reads the fingerprint from the same snapshot meanwhile. Rules of `takeParts`. */
export async function takeDump(options: TakeDumpOptions): Promise<TakenDump> {
  const { session } = options;
  const taken = await takeParts(
    { ...options, parts: session.parts, role: 'dump', stop: () => session.close() },
    async () => (session.fingerprintUnavailable === null ? await session.fingerprint(options.onTable) : null),
  );
  const fingerprint = taken.beside;
  if (fingerprint === null) return { artifacts: taken.artifacts, fingerprint };
  const body = Buffer.from(JSON.stringify(fingerprint), 'utf8');
  const artifact = await writeSmallArtifact(
    options,
    { name: FINGERPRINT_NAME, role: 'fingerprint', body },
    options.signal,
  );
  return { artifacts: [...taken.artifacts, artifact], fingerprint };
}
