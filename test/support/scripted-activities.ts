/** Activities whose outcomes a workflow test writes down beforehand: what is tested is what the workflow makes of them. */
import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type { ErrorCode } from '../../src/domain/errors.js';
import { errorTable } from '../../src/domain/errors.js';
import type { Activities } from '../../src/workflows/activity-types.js';

export function failure(code: ErrorCode, message: string = errorTable[code].title): ApplicationFailure {
  return ApplicationFailure.create({ type: code, message, nonRetryable: !errorTable[code].retryable });
}

/** What an activity does at its first call, its second, and so on; the last one is repeated. A function is called, an error thrown. */
export type Script = { [Name in keyof Activities]?: readonly unknown[] };

export type Scripted = {
  readonly activities: Activities;
  /** Names in the order in which they were called. */
  readonly calls: string[];
  /** Inputs of one activity, in order. */
  inputs(name: keyof Activities): unknown[];
};

const summary = { bytes: 1000, storedBytes: 400, tables: 2, rows: '10', location: 's3://bucket', adopted: false };
let attempts = 0;

/** What each activity gives when the script says nothing: the happy way. */
const usual: { [Name in keyof Activities]: readonly unknown[] } = {
  claimScheduledBackup: [
    { state: 'claimed', backupId: 'bkp_1', labels: { databaseName: 'shop', planName: 'nightly' } },
  ],
  beginAttempt: [
    () => {
      attempts += 1;
      return {
        state: 'begun',
        attempt: { attemptId: `att_${attempts}`, number: attempts, token: attempts },
        planId: 'plan_1',
      };
    },
  ],
  dumpDatabase: [summary],
  endAttempt: [undefined],
  settleBackup: [
    (input: { status: string; error: { code: string } }) => ({ status: input.status, code: input.error.code }),
  ],
  removeRemains: [{ attempts: 0 }],
  applyRetention: [{ deletions: [] }],
  deleteBackupObjects: [undefined],
  noteDeletionRefused: [undefined],
  prepareRestore: [
    { state: 'ready', way: 'staged', targetExists: true, bytes: 1000, estimatedBytes: 1500, place: 'shop on db:5432' },
  ],
  verifyArtifacts: [{ objects: 2, storedBytes: 400 }],
  buildStaging: [{ stagingName: 'tm_stage_rst_1_1' }],
  compareStaging: [{ proof: 'source', tables: 2, rows: '10' }],
  recoverIntoStaging: [
    {
      stagingName: 'tm_stage_rst_1_1',
      comparison: { tables: 2, rows: '10' },
      lastApplied: { position: '0/1A2B', at: '2026-01-01T12:00:00.000Z' },
      firstRefused: null,
    },
  ],
  readArchive: [{ wanted: true, held: true, policyId: 'pol_1', serverId: 'srv_1', settings: 'a' }],
  followLog: [{ ended: 'rotated' }],
  noteArchiveError: [undefined],
  noteGap: [{ noted: true, backupId: 'bkp_1' }],
  releaseSource: [{ left: 0 }],
  swapIn: [{ previousName: 'shop__before_rst_1', shutOutSeconds: 0.4 }],
  undoSwap: [{ undone: false, completed: false }],
  dropStaging: [undefined],
  settleRestore: [
    (input: { status: string; error: { code: string } | null }) => ({
      status: input.status,
      code: input.error?.code ?? null,
    }),
  ],
  readProgress: [{ phase: 'dumping', bytes: 1_610_612_736, percent: 41 }],
  revertRestore: [{ previousName: 'shop__reverted_rst_1', shutOutSeconds: 0.2 }],
  settleRevert: [undefined],
  dropPrevious: [{ dropped: 'shop__before_rst_1' }],
  checkDatabase: [{ ok: true, code: null }],
  checkDestination: [{ ok: true, code: null }],
  findHousekeeping: [
    {
      previousOfRestores: ['rst_1'],
      stagingOfRestores: ['rst_2'],
      deletions: ['bkp_1'],
      plans: ['plan_1'],
      destinations: ['dst_1'],
    },
  ],
  sweepDestination: [{ uploads: 0, objects: 0, lateAdopted: 0, lateRemoved: 0, unknownManifests: 0 }],
  readChain: [
    {
      state: 'run',
      backupId: 'bkp_1',
      kind: 'full',
      trigger: 'schedule',
      databaseId: 'db_1',
      labels: { databaseName: 'shop', planName: 'gold' },
    },
    { state: 'idle', alive: false },
  ],
  claimChain: [{ state: 'claimed', backupId: 'bkp_1', policyId: 'pol_1', serverId: 'srv_1' }],
  takeServerBackup: [{ ...summary, tables: null, rows: null }],
  noteChainRun: [{ settled: true, completed: true }],
  applyChainRetention: [{ deletedBackups: [], deletedSlices: 0 }],
  inspectAttachment: [{ state: 'ready', chainId: 'chn_1', policyId: 'pol_1', serverId: 'srv_1', pitr: true }],
  configurePitr: [{ wanted: true }],
  awaitArchive: [null],
  notePitrError: [undefined],
  claimInitialFull: [{ backupId: 'bkp_1' }],
  awaitBackup: [{ status: 'completed', code: null, message: null }],
  proveInSandbox: [{ databases: 2 }],
  finishAttach: [
    (input: { error: { code: string } | null }) => ({
      status: input.error === null ? 'active' : 'error',
      code: input.error?.code ?? null,
    }),
  ],
  beginDetach: [
    {
      state: 'begun',
      chain: { chainId: 'chn_1', policyId: 'pol_1', serverId: 'srv_1' },
      last: true,
      runs: [],
    },
  ],
  awaitArchiveStopped: [{ stopped: true }],
  finishDetach: [undefined],
  checkPolicy: [{ ok: true, code: null }],
  expireRows: [{ idempotencyKeys: 0, sessions: 0, secrets: 0 }],
  sendNotification: [{ sent: true }],
  noteNotificationFailed: [undefined],
  cleanUpSource: [{ done: true }],
};

export function scriptActivities(script: Script = {}): Scripted {
  attempts = 0;
  const calls: string[] = [];
  const inputs = new Map<string, unknown[]>();
  const make = (name: keyof Activities) => async (input: unknown) => {
    calls.push(name);
    const before = inputs.get(name) ?? [];
    inputs.set(name, [...before, input]);
    const outcomes = script[name] ?? usual[name];
    const outcome = outcomes[Math.min(before.length, outcomes.length - 1)];
    if (outcome instanceof Error) throw outcome;
    return typeof outcome === 'function' ? await (outcome as (given: unknown) => unknown)(input) : outcome;
  };
  const names = Object.keys(usual) as (keyof Activities)[];
  return {
    activities: Object.fromEntries(names.map((name) => [name, make(name)])) as unknown as Activities,
    calls,
    inputs: (name) => inputs.get(name) ?? [],
  };
}

/** An outcome: `result`, after having worked for so long, showing that it lives. */
export function afterWork(ms: number, result: unknown): () => Promise<unknown> {
  return async () => {
    const context = Context.current();
    const timer = setInterval(() => context.heartbeat(), 200);
    try {
      await context.sleep(ms);
      if (result instanceof Error) throw result;
      return result;
    } finally {
      clearInterval(timer);
    }
  };
}

/** An outcome: works until it is cancelled, and says so only after a moment, as a tool that is being killed does. */
export async function untilCancelled(): Promise<never> {
  const context = Context.current();
  const timer = setInterval(() => context.heartbeat(), 200);
  try {
    return await context.cancelled;
  } finally {
    clearInterval(timer);
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}
