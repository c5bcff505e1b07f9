import { countContent } from '../domain/fingerprint.js';
import type { ServerBackupResult, ServerBackupSession } from '../engines/chain-engine.js';
import type { Artifact } from '../storage/manifest.js';
import type { AttemptStorage } from './take-parts.js';
import { takeParts, writeSmallArtifact } from './take-parts.js';

/** The fingerprint of the `index`th of the backup's databases: a database's name may be what no object's name may. */
export const serverFingerprintName = (index: number) => `fingerprint-${index}.json`;

export type TakeServerBackupOptions = AttemptStorage & {
  readonly session: ServerBackupSession;
  readonly signal: AbortSignal;
  /** Plain bytes of all parts so far. */
  readonly onBytes: (bytes: number) => void;
};

export type TakenServerBackup = {
  readonly artifacts: readonly Artifact[];
  readonly result: ServerBackupResult;
  /** Tables and rows of all databases; null when they could not be read at the backup's position. */
  readonly content: { readonly tables: number; readonly rows: string } | null;
};

/**
 * Streams a full or incremental of a whole server into the destination, reads the databases' fingerprints from the same snapshot meanwhile,
 * and stores the small files that belong to it when all parts have ended well. Rules of `takeParts`.
 */
export async function takeServerBackup(options: TakeServerBackupOptions): Promise<TakenServerBackup> {
  const { session, signal } = options;
  const { artifacts, beside: prints } = await takeParts(
    { ...options, parts: session.parts, role: 'base', stop: () => session.close() },
    () => readFingerprints(session),
  );
  const result = await session.finish();
  for (const { name, body } of result.sidecars) {
    artifacts.push(await writeSmallArtifact(options, { name, role: 'sidecar', body }, signal));
  }
  for (const [index, { body }] of (prints ?? []).entries()) {
    const name = serverFingerprintName(index);
    artifacts.push(await writeSmallArtifact(options, { name, role: 'fingerprint', body }, signal));
  }
  return { artifacts, result, content: prints === null ? null : sum(prints) };
}

type Print = { readonly body: Buffer; readonly tables: number; readonly rows: string };

/** In the order of `session.databases`; one after the other, because they share the source's snapshot connections. */
async function readFingerprints(session: ServerBackupSession): Promise<Print[] | null> {
  if (session.fingerprintUnavailable !== null) return null;
  const prints: Print[] = [];
  for (const database of session.databases) {
    const print = await session.fingerprint(database);
    prints.push({ body: Buffer.from(JSON.stringify(print), 'utf8'), ...countContent(print) });
  }
  return prints;
}

function sum(prints: readonly Print[]) {
  return {
    tables: prints.reduce((total, print) => total + print.tables, 0),
    rows: prints.reduce((total, print) => total + BigInt(print.rows), 0n).toString(),
  };
}
