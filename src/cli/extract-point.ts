import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { TidemarkError } from '../domain/errors.js';
import type { PlanInput, RecoveryPlan } from '../domain/recovery-plan.js';
import { planPoint } from '../domain/recovery-plan.js';
import type { RecoveryTarget } from '../domain/recovery-target.js';
import { getChainEngine } from '../engines/chain-registry.js';
import type { KeyOpener } from '../keys/key-opener.js';
import { leaveOutLater } from '../recovery/leave-out-later.js';
import { damagedBackup, noOtherWay } from '../recovery/pass-over.js';
import type { StoredChain } from '../recovery/read-store.js';
import { readStoredChain, slicesOf } from '../recovery/read-store.js';
import { assembleRange, recoverableBackup } from '../recovery/recover-range.js';
import type { Destination } from '../storage/destination.js';
import { isDamage } from '../storage/is-damage.js';

export type PointOptions = {
  readonly serverId: string;
  readonly policyId: string | null;
  readonly target: RecoveryTarget;
  readonly outDir: string;
  readonly toolRoots: readonly string[];
};

/** The point that the options name, or null when they name none. Throws `invalid_request` for more than one. */
export function parsePoint(options: {
  time?: string;
  position?: string;
  latest?: boolean;
  before?: boolean;
}): RecoveryTarget | null {
  const { time, position, latest, before = false } = options;
  if ([time, position, latest].filter((one) => one !== undefined).length > 1) {
    throw new TidemarkError('invalid_request', 'Give one of --time, --position and --latest.');
  }
  if (time !== undefined) {
    if (Number.isNaN(Date.parse(time)) || !/(Z|[+-]\d\d:\d\d)$/.test(time)) {
      throw new TidemarkError('invalid_request', `${time} is not a time such as 2026-01-31T12:00:00.123456Z.`);
    }
    return { kind: 'time', time, before };
  }
  if (position !== undefined) return { kind: 'position', position, before };
  return latest ? { kind: 'latest' } : null;
}

type ExtractStore = { readonly destination: Destination; readonly openKey: KeyOpener; readonly signal: AbortSignal };

/**
 * Turns a point in time of a whole server into the engine's own files, set up to recover to it, with the destination and a key alone.
 * Everything is authenticated and verified as in a restore; what is left is to start the server. Returns the folder's README. What is found
 * damaged is told and passed over, as in a restore: an older full and more of the log reach the same point. Throws `backup_not_restorable`
 * naming it when they do not. The folder stays only when it is whole.
 */
export async function extractPoint(store: ExtractStore, options: PointOptions): Promise<string> {
  const chain = await readStoredChain(store, options);
  chain.damaged.forEach(tellPassedOver);
  const dir = resolve(options.outDir);
  await makeEmpty(dir);
  let input = chain.input;
  const passedOver: TidemarkError[] = [...chain.damaged];
  for (;;) {
    let reads: readonly string[] = [];
    try {
      const plan = planPoint(leaveOutLater(input, chain.engine, options.target), options.target);
      reads = plan.backupIds;
      return await writePoint(store, { ...options, dir, chain, plan });
    } catch (error) {
      await rm(dir, { recursive: true, force: true });
      const rest = isDamage(error) ? withoutDamaged(input, chain, reads, error) : null;
      if (rest === null || !isDamage(error)) throw noOtherWay(error, passedOver);
      tellPassedOver(error);
      passedOver.push(error);
      input = rest;
      await makeEmpty(dir);
    }
  }
}

function tellPassedOver({ message }: TidemarkError): void {
  process.stderr.write(`passed over, because it is damaged: ${message}\n`);
}

/** What is left to plan with when something of it was found damaged while it was read; null when the error is about nothing of it. */
function withoutDamaged(
  input: PlanInput,
  chain: StoredChain,
  reads: readonly string[],
  error: TidemarkError,
): PlanInput | null {
  const key = error.details.object ?? '';
  const stored = [...chain.slices.values()].flat();
  const slice = stored.find(({ recordKey, record }) => [recordKey, record.object.key].includes(key))?.record;
  if (slice !== undefined) return { ...input, slices: input.slices.filter((one) => one !== slice) };
  const backupId = damagedBackup(error, reads);
  return backupId === null ? null : { ...input, backups: input.backups.filter(({ id }) => id !== backupId) };
}

async function writePoint(
  store: ExtractStore,
  options: PointOptions & { readonly dir: string; readonly chain: StoredChain; readonly plan: RecoveryPlan },
): Promise<string> {
  const { destination, signal } = store;
  const { dir, chain, plan } = options;
  const backups = plan.backupIds.map((id) => {
    const verified = chain.manifests.get(id);
    if (verified === undefined)
      throw new TidemarkError('manifest_missing', `There is no backup ${id}.`, { object: id });
    return { verified, backup: recoverableBackup(destination, verified) };
  });
  const source = backups.at(-1)?.verified.manifest.source;
  if (source === undefined) throw new TidemarkError('manifest_missing', 'The plan names no backup.');
  const engine = getChainEngine(source.engine);
  if (engine.writeFiles === undefined) {
    throw new TidemarkError('not_supported', `This build writes no files of a whole server of ${source.engine}.`);
  }
  const logDir = join(dir, 'log');
  await mkdir(logDir);
  const logFiles = plan.log === null ? [] : await writeLog(store, chain, plan.log, logDir);
  const { identity, version, major } = source;
  const scratchDir = await mkdtemp(join(tmpdir(), 'tidemark-extract-'));
  try {
    const { readme } = await engine.writeFiles(
      { signal, scratchDir, toolRoots: options.toolRoots },
      {
        dir,
        server: { engine: source.engine, identity, version, major },
        backups: backups.map(({ backup }) => backup),
        logDir,
        logFiles,
        logEnd: plan.log?.end ?? null,
        target: plan.target,
        onPhase: (phase) => process.stderr.write(`${phase}\n`),
      },
    );
    await writeFile(join(dir, 'README.txt'), readme);
    return readme;
  } finally {
    await rm(scratchDir, { recursive: true, force: true });
  }
}

async function makeEmpty(dir: string): Promise<void> {
  try {
    await mkdir(dir, { mode: 0o755 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw new TidemarkError('target_exists', `${dir} is there already; give a folder that is not.`, { object: dir });
  }
}

async function writeLog(store: ExtractStore, chain: StoredChain, log: NonNullable<RecoveryPlan['log']>, dir: string) {
  const place = { destination: store.destination, ...chain, epoch: log.epoch };
  return await assembleRange({ store: { ...store, place }, log, slices: slicesOf(chain, log), dir });
}
