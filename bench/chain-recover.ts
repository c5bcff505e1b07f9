import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { newId } from '../src/domain/ids.js';
import type { RecoveryPlan } from '../src/domain/recovery-plan.js';
import { planBackup, planPoint } from '../src/domain/recovery-plan.js';
import type { Sandbox } from '../src/engines/chain-engine.js';
import { getChainEngine } from '../src/engines/chain-registry.js';
import type { EngineContext } from '../src/engines/engine.js';
import { getEngine } from '../src/engines/registry.js';
import type { KeyOpener } from '../src/keys/key-opener.js';
import { wrappingKeyOpener } from '../src/keys/key-opener.js';
import { compareRestored } from '../src/recovery/compare.js';
import { openRecovered, pipedParts } from '../src/recovery/deliver-from-sandbox.js';
import { readStoredChain, slicesOf } from '../src/recovery/read-store.js';
import { assembleRange, recoverableBackup } from '../src/recovery/recover-range.js';
import { recoverWhileFetching } from '../src/recovery/recover-while-fetching.js';
import { readRecords } from '../src/recovery/resume-log.js';
import type { AssembledFile } from '../src/storage/assemble-log-files.js';
import type { Destination } from '../src/storage/destination.js';
import { openDestination } from '../src/storage/open-destination.js';
import type { VerifiedManifest } from '../src/storage/read-manifest.js';
import { readManifest } from '../src/storage/read-manifest.js';
import type { SlicePlace, StoredSlice } from '../src/storage/slice-record.js';
import type { ChainSite } from './chain-site.js';
import { keyOf } from './chain-take.js';
import { cpuMsOf } from './cpu-time.js';

export type RecoverFigures = {
  /** From nothing to a server that has answered a query. */
  readonly wallMs: number;
  readonly cpuMs: number;
  /** When each phase began, in ms from the start. */
  readonly phases: readonly (readonly [string, number])[];
  readonly backups: number;
  readonly logBytes: number;
  /** From the sandbox into a database on the target, compared; null when not asked for. */
  readonly deliveryMs: number | null;
};

/** Recovers the newest full, or the newest point, in a sandbox; `check` is a number that a query there must give. */
export async function recoverLatest(
  site: ChainSite,
  context: EngineContext,
  wanted: { readonly target: 'latest' | 'end_of_backup'; readonly check: string; readonly deliver: boolean },
): Promise<RecoverFigures> {
  const { signal } = context;
  const destination = openDestination(site.destination);
  const dir = mkdtempSync(join(tmpdir(), 'tmb-'));
  chmodSync(dir, 0o711);
  try {
    const store = { destination, openKey: wrappingKeyOpener([keyOf(site)]), signal };
    const plan = await planFromCatalog(site, store, wanted.target);
    const cpuBefore = cpuMsOf('self');
    const started = performance.now();
    const phases: [string, number][] = [];
    const onPhase = (phase: string) => {
      const name = phase.replace(/, at .*/, '');
      if (phases.at(-1)?.[0] !== name) phases.push([name, Math.round(performance.now() - started)]);
    };
    onPhase('reading manifests');
    const manifests: VerifiedManifest[] = [];
    for (const backupId of plan.backupIds)
      manifests.push(await readManifest({ ...store, ownerId: site.serverId, backupId }));
    const source = manifests.at(-1)?.manifest.source;
    if (source === undefined) throw new Error('there is no backup');
    const logDir = join(dir, 'log');
    mkdirSync(logDir);
    const { engine, identity, version, major } = source;
    let logBytes = 0;
    const options = {
      dir,
      server: { engine, identity, version, major },
      backups: manifests.map((verified) => recoverableBackup(destination, verified)),
      logDir,
      logEnd: plan.log?.end ?? null,
      target: plan.target,
      onPhase,
    };
    const sandbox = await recoverWhileFetching(getChainEngine(engine), context, options, async (signal) => {
      const files = plan.log === null ? [] : await fetchLog({ ...store, signal }, plan.log, logDir);
      logBytes = files.reduce((sum, { bytes }) => sum + bytes, 0);
      return files;
    });
    try {
      const wallMs = performance.now() - started;
      const cpuMs = cpuMsOf('self') - cpuBefore;
      onPhase('open');
      await requireContent(sandbox, site, wanted.check);
      return {
        wallMs,
        cpuMs,
        phases,
        backups: manifests.length,
        logBytes,
        deliveryMs: wanted.deliver ? await deliver(site, context, sandbox) : null,
      };
    } finally {
      await sandbox.close();
    }
  } finally {
    destination.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

type Store = { readonly destination: Destination; readonly openKey: KeyOpener; readonly signal: AbortSignal };
type BenchPlan = Omit<RecoveryPlan, 'log'> & {
  readonly log: (NonNullable<RecoveryPlan['log']> & { place: SlicePlace; rows: readonly StoredSlice[] }) | null;
};

/** What a restore plans with: rows of the catalog, which the bench does not have and reads from the store before its clock starts. */
async function planFromCatalog(site: ChainSite, store: Store, target: 'latest' | 'end_of_backup'): Promise<BenchPlan> {
  const chain = await readStoredChain(store, { serverId: site.serverId, policyId: site.policyId });
  const newestFull = chain.input.backups.filter((backup) => backup.kind === 'full').at(-1)?.id ?? '';
  const plan = target === 'latest' ? planPoint(chain.input, { kind: 'latest' }) : planBackup(chain.input, newestFull);
  if (plan.log === null) return { ...plan, log: null };
  const place = { ...store, ...chain, epoch: plan.log.epoch };
  return { ...plan, log: { ...plan.log, place, rows: slicesOf(chain, plan.log) } };
}

/** As the activity does it. */
async function fetchLog(store: Store, log: NonNullable<BenchPlan['log']>, dir: string): Promise<AssembledFile[]> {
  const logStore = { ...store, place: log.place };
  const slices = await readRecords(logStore, log.rows);
  return await assembleRange({ store: logStore, log, slices, dir });
}

/** A fast recovery of something else would be worth nothing. */
async function requireContent(sandbox: Sandbox, site: ChainSite, check: string): Promise<void> {
  const { host, port, username, password } = sandbox.connection;
  const client = new pg.Client({ host, port, user: username, password, database: site.connection.database });
  await client.connect();
  const { rows } = await client.query('SELECT sum(changed)::text AS found FROM progress');
  await client.end();
  if (rows[0]?.found !== check) throw new Error(`the sandbox holds ${rows[0]?.found}, not ${check}`);
}

/** As a restore under another name does it. */
async function deliver(site: ChainSite, context: EngineContext, sandbox: Sandbox): Promise<number> {
  const started = performance.now();
  const { connection } = site;
  await openRecovered(sandbox, context, connection.database, async (session, expected) => {
    const options = { restoreId: newId('restore'), attempt: 1 };
    const target = await getEngine(connection.engine).openRestore(connection, context, options);
    try {
      const staging = await target.createStaging(expected);
      await target.load(
        staging,
        pipedParts(session, () => {}),
      );
      const comparison = compareRestored(expected, await target.fingerprint(staging));
      if (!comparison.equal) throw new Error('what was delivered is not what the sandbox holds');
      await target.dropStaging();
    } finally {
      await target.close();
    }
  });
  return performance.now() - started;
}
