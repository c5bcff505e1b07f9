import { Readable } from 'node:stream';
import { TidemarkError } from '../domain/errors.js';
import type { Fingerprint } from '../domain/fingerprint.js';
import type { Sandbox } from '../engines/chain-engine.js';
import type { DumpPart, DumpSession, EngineContext } from '../engines/engine.js';
import { getEngine } from '../engines/registry.js';

/** Throws `database_missing`, naming what was there, unless the recovered server holds the database. */
export function requireRecovered(sandbox: Sandbox, database: string): void {
  if (sandbox.databases.includes(database)) return;
  const others = sandbox.databases.slice(0, 20).join(', ');
  throw new TidemarkError(
    'database_missing',
    `At that point the server had no database ${database}; it had ${others === '' ? 'none' : others}. Nothing was written.`,
    { object: database },
  );
}

/** Opens one database of a sandbox for reading, with its fingerprint: nobody else is connected, so both are of the same content. */
export async function openRecovered<T>(
  sandbox: Sandbox,
  context: EngineContext,
  database: string,
  act: (session: DumpSession, fingerprint: Fingerprint) => Promise<T>,
): Promise<T> {
  requireRecovered(sandbox, database);
  const engine = getEngine(sandbox.connection.engine);
  const session = await engine.openDump({ ...sandbox.connection, database }, context, { fingerprint: true });
  try {
    if (session.fingerprintUnavailable !== null)
      throw new TidemarkError('sandbox_failed', session.fingerprintUnavailable);
    return await act(session, await session.fingerprint());
  } finally {
    await session.close();
  }
}

/** The parts of a running dump as a load takes them: a part ends well only when its tool has. */
export function pipedParts(session: DumpSession, onBytes: (bytes: number) => void) {
  let done = 0;
  const count = (bytes: number) => {
    done += bytes;
    onBytes(done);
  };
  return session.parts.map((part) => ({
    name: part.name,
    open: async () => Readable.from(contentOf(part, count), { objectMode: false, highWaterMark: 1024 * 1024 }),
  }));
}

async function* contentOf(part: DumpPart, count: (bytes: number) => void): AsyncGenerator<Buffer> {
  const { stdout, done } = part.start();
  done.catch(() => {});
  for await (const chunk of stdout as AsyncIterable<Buffer>) {
    count(chunk.length);
    // Without `release`: who reads the pipe may still hold the chunk.
    yield chunk;
  }
  await done;
}
