import { mkdirSync } from 'node:fs';
import type { LogPosition } from '../src/domain/positions.js';
import { getChainEngine } from '../src/engines/chain-registry.js';
import type { EngineContext } from '../src/engines/engine.js';
import { wrappingKeyOpener } from '../src/keys/key-opener.js';
import { followLog } from '../src/recovery/follow-log.js';
import { openDestination } from '../src/storage/open-destination.js';
import type { ChainSite } from './chain-site.js';
import { keyOf } from './chain-take.js';

/** A slice is durable in the store, its record too. */
export type DurableSlice = {
  readonly file: string;
  readonly offset: number;
  readonly bytes: number;
  readonly end: LogPosition;
  /** Date.now() */
  readonly at: number;
};
export type FollowLine =
  | { readonly state: 'begun' | 'receiving'; readonly at: number }
  | { readonly durable: DurableSlice }
  | { readonly trouble: string };

/** Follows the source's log into the store until the signal aborts, then takes back what it made on the source. */
export async function archiveLog(
  site: ChainSite,
  context: EngineContext,
  wanted: { readonly spoolDir: string; readonly epoch: number },
  tell: (line: FollowLine) => void,
): Promise<void> {
  const { connection, slot } = site;
  const engine = getChainEngine(connection.engine);
  const destination = openDestination(site.destination);
  const key = keyOf(site);
  mkdirSync(wanted.spoolDir, { recursive: true });
  tell({ state: 'begun', at: Date.now() });
  await engine.configureArchive(connection, context, { slot });
  const follower = await engine.openFollower(connection, context, {
    slot,
    spoolDir: wanted.spoolDir,
    resume: null,
    spoolLimitBytes: 4 * 1024 ** 3,
  });
  let receiving = false;
  try {
    await followLog({
      follower,
      store: {
        place: { destination, serverId: site.serverId, policyId: site.policyId, epoch: wanted.epoch },
        openKey: wrappingKeyOpener([key]),
        signal: context.signal,
      },
      keys: { encryption: key, manifest: key, sealed: site.key.sealed },
      installationId: site.installationId,
      chainId: site.chainId,
      last: null,
      taken: 0,
      small: [],
      readEnd: () => engine.readLogEnd(connection, context),
      comparePositions: (a, b) => engine.comparePositions(a, b),
      assertMayPublish: async () => {},
      onDurable: async ({ record }) => {
        // What replaces small slices was durable before.
        if (record.fromSeq !== record.seq) return;
        const { file, offset, object, endPosition: end } = record;
        tell({ durable: { file, offset, bytes: object.bytes, end, at: Date.now() } });
      },
      onCovered: async () => {},
      onState: async ({ connected }) => {
        if (connected && !receiving) tell({ state: 'receiving', at: Date.now() });
        receiving = connected;
      },
      onTrouble: (what, error) => tell({ trouble: `${what}: ${String(error)}` }),
    });
  } catch (error) {
    if (!context.signal.aborted) throw error;
  } finally {
    await follower.close();
    const signal = AbortSignal.timeout(20_000);
    await engine.releaseArchive(connection, { ...context, signal }, { slot });
    destination.close();
  }
}
