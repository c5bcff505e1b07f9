/** What tests of engines share: a context, connections, taking a dump and feeding it back, expecting an error's code. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, expect } from 'vitest';
import { loadConfig } from '../../src/config.js';
import type { ErrorCode } from '../../src/domain/errors.js';
import { isTidemarkError } from '../../src/domain/errors.js';
import type { Fingerprint } from '../../src/domain/fingerprint.js';
import { compareFingerprints } from '../../src/domain/fingerprint.js';
import { newId } from '../../src/domain/ids.js';
import type { DatabaseConnection, EngineContext } from '../../src/engines/engine.js';
import { getEngine } from '../../src/engines/registry.js';
import { enginesRoot } from '../../src/platform/installed.js';

export { connectionTo } from '../support/connection-to.js';

export type TakenDump = {
  readonly parts: readonly { readonly name: string; readonly content: Buffer }[];
  readonly print: Fingerprint;
};

/** A scratch folder and a way to stop everything, as an activity would have them. */
export function useContext(): () => EngineContext {
  let scratchDir = '';
  beforeAll(() => {
    scratchDir = mkdtempSync(join(tmpdir(), 'tm-scratch-'));
  });
  afterAll(() => rmSync(scratchDir, { recursive: true, force: true }));
  return () => ({
    signal: new AbortController().signal,
    scratchDir,
    toolRoots: [enginesRoot(loadConfig().install)],
  });
}

/** Takes a dump with its fingerprint, as the backup activity does: both at the same time. */
export async function takeDump(connection: DatabaseConnection, context: EngineContext): Promise<TakenDump> {
  const session = await getEngine(connection.engine).openDump(connection, context, { fingerprint: true });
  try {
    expect(session.fingerprintUnavailable).toBeNull();
    const print = session.fingerprint();
    print.catch(() => {});
    const parts = [];
    for (const part of session.parts) {
      const { stdout, done } = part.start();
      const [content] = await Promise.all([buffer(stdout), done]);
      parts.push({ name: part.name, content });
    }
    return { parts, print: await print };
  } finally {
    await session.close();
  }
}

export function partsOf(dump: TakenDump): { name: string; open(): Promise<Readable> }[] {
  return dump.parts.map(({ name, content }) => ({
    name,
    open: async () => Readable.from(chunksOf(content), { objectMode: false }),
  }));
}

/** Loads a dump beside its source and expects the same content there; nothing of it stays. `connection` may create databases. */
export async function expectRestorable(
  connection: DatabaseConnection,
  context: EngineContext,
  dump: TakenDump,
): Promise<void> {
  const attempt = { restoreId: newId('restore'), attempt: 1 };
  const restore = await getEngine(connection.engine).openRestore(connection, context, attempt);
  try {
    const staging = await restore.createStaging(dump.print);
    await restore.load(staging, partsOf(dump));
    expect(compareFingerprints(dump.print, await restore.fingerprint(staging))).toEqual([]);
    await restore.dropStaging();
  } finally {
    await restore.close();
  }
}

/** In pieces, as a store delivers them: a framing error at a piece's border would show. */
function* chunksOf(content: Buffer): Generator<Buffer> {
  for (let at = 0; at < content.length; at += 60_001) yield content.subarray(at, at + 60_001);
}

export async function expectCode(work: Promise<unknown>, ...codes: ErrorCode[]): Promise<string> {
  let failure: unknown;
  try {
    await work;
  } catch (error) {
    failure = error;
  }
  if (!isTidemarkError(failure))
    throw new Error(`Expected ${codes.join(' or ')}, got ${String(failure)}`, { cause: failure });
  expect(codes, failure.message).toContain(failure.code);
  return failure.message;
}
