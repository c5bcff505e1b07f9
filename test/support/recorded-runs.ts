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
