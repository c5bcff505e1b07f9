/**
 * The runs whose histories are kept in `test/replay/histories`: each workflow once with a step that is tried again, and long ones.
 * `scripts/record-histories.ts` records them on a real server; `test/replay` replays them against the present code.
 */
import type { WorkflowHandle } from '@temporalio/client';
import type { Script } from './scripted-activities.js';
import { afterWork, failure, untilCancelled } from './scripted-activities.js';

export type RecordedRun = {
  /** File name of its history. */
  readonly name: string;
  readonly type: string;
  readonly args: readonly unknown[];
  readonly script: Script;
  /** Something from outside, once the named activity runs. */
  readonly interrupt?: { readonly during: string; readonly act: (handle: WorkflowHandle) => Promise<unknown> };
};

const labels = { databaseName: 'shop', planName: 'nightly' };
const backupInput = { backupId: 'bkp_recorded', trigger: 'manual', labels };
const summary = { bytes: 1000, storedBytes: 400, tables: 2, rows: '10', location: 's3://bucket', adopted: false };
const many = (prefix: string, count: number) => Array.from({ length: count }, (_, index) => `${prefix}_${index}`);
const archiveInput = { chainId: 'chn_recorded', labels: { serverName: 'db', policyName: 'nightly' } };
const wish = { wanted: true, held: true, policyId: 'pol_recorded', serverId: 'srv_recorded', settings: 'a' };
const chainInput = { chainId: 'chn_recorded', labels: { serverName: 'db', policyName: 'nightly' } };
const attachmentInput = { attachmentId: 'atc_recorded', labels: { serverName: 'db', policyName: 'nightly' } };
const dueRun = (backupId: string) => ({
  state: 'run',
  backupId,
  kind: 'full',
  trigger: 'schedule',
  databaseId: 'db_recorded',
  labels,
});
const begunFull = {
  state: 'begun',
  attempt: { attemptId: 'att_recorded', number: 1, token: 1 },
  planId: null,
  kind: 'full',
};
const noRun = { state: 'idle', alive: false };
const cancel = (handle: WorkflowHandle) => handle.cancel();

export const recordedRuns: readonly RecordedRun[] = [
  {
    name: 'backup-second-attempt',
    type: 'backup',
    args: [backupInput],
    script: { dumpDatabase: [failure('worker_lost'), summary] },
  },
  {
    name: 'backup-many-attempts',
    type: 'backup',
    args: [backupInput],
    script: {
      dumpDatabase: [...Array.from({ length: 8 }, () => failure('worker_lost')), failure('dump_failed'), summary],
      applyRetention: [{ deletions: many('bkp', 30) }],
    },
  },
  {
    name: 'backup-looked-at',
    type: 'backup',
    args: [backupInput],
    script: {
      dumpDatabase: [afterWork(5_000, failure('worker_lost')), afterWork(12_000, summary)],
      readProgress: [failure('service_unavailable'), { phase: 'dumping', bytes: 1_610_612_736, percent: 41 }],
    },
  },
  {
    name: 'backup-refused',
    type: 'backup',
    args: [backupInput],
    script: { dumpDatabase: [failure('authentication_failed')] },
  },
  {
    name: 'backup-cancelled',
    type: 'backup',
    args: [backupInput],
    script: { dumpDatabase: [untilCancelled] },
    interrupt: { during: 'dumpDatabase', act: cancel },
  },
  {
    name: 'restore-retried',
    type: 'restore',
    args: [{ restoreId: 'rst_recorded', labels }],
    script: {
      buildStaging: [failure('connection_lost'), { stagingName: 'tm_stage_rst_recorded_2' }],
      swapIn: [failure('database_unreachable'), { previousName: 'shop__before_rst_recorded', shutOutSeconds: 1.5 }],
    },
  },
  {
    name: 'restore-looked-at',
    type: 'restore',
    args: [{ restoreId: 'rst_recorded', labels }],
    script: {
      verifyArtifacts: [afterWork(4_000, { objects: 2, storedBytes: 400 })],
      buildStaging: [afterWork(11_000, { stagingName: 'tm_stage_rst_recorded_1' })],
    },
  },
  {
    name: 'restore-different',
    type: 'restore',
    args: [{ restoreId: 'rst_recorded', labels }],
    script: { compareStaging: [failure('restore_mismatch')] },
  },
  {
    name: 'restore-cancelled',
    type: 'restore',
    args: [{ restoreId: 'rst_recorded', labels }],
    script: { buildStaging: [untilCancelled] },
    interrupt: { during: 'buildStaging', act: cancel },
  },
  {
    name: 'restore-resumed',
    type: 'restore',
    args: [{ restoreId: 'rst_recorded', labels }],
    script: { prepareRestore: [failure('database_unreachable'), { state: 'swapping' }] },
  },
  {
    name: 'restore-recovered',
    type: 'restore',
    args: [{ restoreId: 'rst_recorded', labels }],
    script: {
      prepareRestore: [
        {
          state: 'ready',
          way: 'staged',
          targetExists: true,
          bytes: 1000,
          estimatedBytes: 1500,
          place: 'shop on db:5432',
          recovery: 'bkp_recorded, log slices 1 to 9',
        },
      ],
      recoverIntoStaging: [
        failure('sandbox_failed'),
        afterWork(4_000, {
          stagingName: 'tm_stage_rst_recorded_2',
          comparison: { tables: 2, rows: '10' },
          lastApplied: { position: '0/1A2B', at: '2026-01-01T12:00:00.000Z' },
          firstRefused: null,
        }),
      ],
    },
  },
  {
    name: 'archive-interrupted',
    type: 'archive',
    args: [archiveInput],
    script: {
      readArchive: [wish, wish, wish, wish, { ...wish, wanted: false }],
      followLog: [
        failure('worker_lost'),
        failure('destination_unreachable'),
        { ended: 'gap', error: { code: 'log_gap', message: 'gone' }, to: { lsn: '0/2' } },
        untilCancelled,
      ],
      releaseSource: [failure('database_unreachable'), { left: 0 }],
    },
    interrupt: {
      during: 'noteGap',
      act: async (handle) => {
        await new Promise((resolve) => setTimeout(resolve, 2_000));
        await handle.signal('wake');
      },
    },
  },
  {
    name: 'archive-released',
    type: 'archive',
    args: [archiveInput],
    script: {
      readArchive: [{ ...wish, wanted: false }],
      releaseSource: [failure('service_unavailable'), { left: 1 }],
    },
  },
  {
    name: 'archive-new-history',
    type: 'archive',
    args: [archiveInput],
    script: {
      readArchive: [...Array.from({ length: 14 }, () => wish), { ...wish, wanted: false }],
      followLog: [untilCancelled],
    },
    interrupt: {
      during: 'followLog',
      act: async (handle) => {
        for (let wakes = 0; wakes < 25; wakes += 1) {
          await handle.signal('wake').catch(() => undefined);
          await new Promise((resolve) => setTimeout(resolve, 200));
        }
      },
    },
  },
  {
    name: 'chain-run-failed',
    type: 'chain',
    args: [chainInput],
    script: {
      readChain: [dueRun('bkp_chain_1'), failure('service_unavailable'), dueRun('bkp_chain_2'), noRun],
      beginAttempt: [begunFull],
      takeServerBackup: [failure('authentication_failed'), summary],
      noteChainRun: [
        { settled: false, completed: false },
        { settled: true, completed: false },
        { settled: true, completed: true },
      ],
      applyChainRetention: [failure('destination_unreachable'), { deletedBackups: ['bkp_chain_0'], deletedSlices: 3 }],
    },
  },
  {
    name: 'chain-new-history',
    type: 'chain',
    args: [chainInput],
    script: {
      readChain: [...many('bkp_long', 12).map(dueRun), noRun],
      beginAttempt: [begunFull],
      takeServerBackup: [summary],
    },
  },
  {
    name: 'chain-woken',
    type: 'chain',
    args: [chainInput],
    script: { readChain: [{ state: 'idle', alive: true }, { state: 'idle', alive: true }, noRun] },
    interrupt: {
      during: 'readChain',
      act: async (handle) => {
        for (const signal of ['retain', 'wake', 'wake']) {
          await new Promise((resolve) => setTimeout(resolve, 1_000));
          await handle.signal(signal).catch(() => undefined);
        }
      },
    },
  },
  {
    name: 'fire-chain-retried',
    type: 'fireChain',
    args: [{ chainId: 'chn_recorded', kind: 'full' }],
    script: {
      claimChain: [
        failure('service_unavailable'),
        { state: 'claimed', backupId: 'bkp_recorded', policyId: 'pol_recorded', serverId: 'srv_recorded' },
      ],
    },
  },
  {
    name: 'fire-chain-skipped',
    type: 'fireChain',
    args: [{ chainId: 'chn_recorded', kind: 'incremental' }],
    script: { claimChain: [{ state: 'skipped', backupId: 'bkp_recorded', reason: 'bkp_other was in the way' }] },
  },
  {
    name: 'attach-retried',
    type: 'attach',
    args: [attachmentInput],
    script: {
      inspectAttachment: [
        failure('database_unreachable'),
        { state: 'ready', chainId: 'chn_recorded', policyId: 'pol_recorded', serverId: 'srv_attach', pitr: true },
      ],
      awaitBackup: [null, { status: 'completed', code: null, message: null }],
      readChain: [noRun],
      readArchive: [null],
    },
  },
  {
    name: 'attach-without-log',
    type: 'attach',
    args: [attachmentInput],
    script: {
      inspectAttachment: [
        { state: 'ready', chainId: 'chn_recorded', policyId: 'pol_recorded', serverId: 'srv_nolog', pitr: true },
      ],
      configurePitr: [failure('log_not_kept')],
      proveInSandbox: [failure('tools_missing')],
      readChain: [noRun],
      readArchive: [null],
    },
  },
  {
    name: 'detach-retried',
    type: 'detach',
    args: [attachmentInput],
    script: {
      beginDetach: [
        failure('service_unavailable'),
        {
          state: 'begun',
          chain: { chainId: 'chn_recorded', policyId: 'pol_recorded', serverId: 'srv_detach' },
          last: true,
          runs: ['bkp_unknown'],
        },
      ],
      awaitArchiveStopped: [{ stopped: false }],
      releaseSource: [failure('connection_lost'), { left: 1 }],
      readChain: [noRun],
      readArchive: [null],
    },
  },
  { name: 'check-policy', type: 'checkPolicy', args: [{ policyId: 'pol_recorded' }], script: {} },
  {
    name: 'revert-retried',
    type: 'revert',
    args: [{ restoreId: 'rst_recorded', labels }],
    script: {
      revertRestore: [failure('connection_lost'), { previousName: 'shop__reverted_rst_recorded', shutOutSeconds: 0.3 }],
    },
  },
  {
    name: 'delete-backup-retried',
    type: 'deleteBackup',
    args: [{ backupId: 'bkp_recorded' }],
    script: { deleteBackupObjects: [failure('destination_denied'), undefined] },
  },
  { name: 'fire-started', type: 'fire', args: [{ planId: 'plan_recorded' }], script: {} },
  {
    name: 'fire-skipped',
    type: 'fire',
    args: [{ planId: 'plan_recorded' }],
    script: {
      claimScheduledBackup: [
        failure('service_unavailable'),
        { state: 'skipped', backupId: 'bkp_recorded', reason: 'bkp_other was in the way' },
      ],
    },
  },
  {
    name: 'notify-retried',
    type: 'notify',
    args: [{ notificationId: 'ntf_recorded' }],
    script: { sendNotification: [failure('mail_failed'), { sent: true }] },
  },
  {
    name: 'notify-refused',
    type: 'notify',
    args: [{ notificationId: 'ntf_recorded' }],
    script: { sendNotification: [failure('mail_refused')] },
  },
  {
    name: 'clean-up-source-retried',
    type: 'cleanUpSource',
    args: [{ cleanupId: 'cln_recorded' }],
    script: { cleanUpSource: [failure('service_unavailable'), { done: false }, { done: true }] },
  },
  { name: 'check-database', type: 'checkDatabase', args: [{ databaseId: 'db_recorded' }], script: {} },
  { name: 'check-destination', type: 'checkDestination', args: [{ destinationId: 'dst_recorded' }], script: {} },
  {
    name: 'housekeeping-long',
    type: 'housekeeping',
    args: [],
    script: {
      findHousekeeping: [
        {
          previousOfRestores: many('rst', 20),
          stagingOfRestores: many('rst', 5),
          deletions: many('bkp', 60),
          plans: many('plan', 40),
          destinations: many('dst', 10),
        },
      ],
      sweepDestination: [failure('destination_unreachable'), { uploads: 1, objects: 2, unknownManifests: 0 }],
    },
  },
];
