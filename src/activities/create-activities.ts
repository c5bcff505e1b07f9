import type { Activities } from '../workflows/activity-types.js';
import { noteArchiveError, readArchive } from './archive/archive-state.js';
import { followLog } from './archive/follow-log.js';
import { noteGap } from './archive/note-gap.js';
import { releaseSource } from './archive/release-source.js';
import { beginAttempt, endAttempt } from './begin-attempt.js';
import { buildStaging, compareStaging, dropStaging } from './build-staging.js';
import { applyChainRetention } from './chain/apply-chain-retention.js';
import { claimInitialFull } from './chain/claim-initial-full.js';
import { configurePitr, finishAttach, inspectAttachment, notePitrError } from './chain/inspect-attachment.js';
import { proveInSandbox } from './chain/prove-in-sandbox.js';
import { beginDetach, claimChain, finishDetach, noteChainRun, readChain } from './chain/run-chain.js';
import { takeServerBackup } from './chain/take-server-backup.js';
import { awaitArchive, awaitArchiveStopped, awaitBackup } from './chain/wait-for-chain.js';
import { checkDatabase } from './check-database.js';
import { checkDestination } from './check-destination.js';
import { checkPolicy } from './check-policy.js';
import { claimScheduledBackup } from './claim-scheduled-backup.js';
import { applyRetention, deleteBackupObjects, noteDeletionRefused } from './delete-backup-objects.js';
import type { ActivityDeps } from './deps.js';
import { dumpDatabase } from './dump-database.js';
import { expireRows, findHousekeeping, sweepDestination } from './housekeeping.js';
import { cleanUpSource } from './people/clean-up-source.js';
import { noteNotificationFailed, sendNotification } from './people/send-notification.js';
import { prepareRestore, verifyArtifacts } from './prepare-restore.js';
import { readProgress } from './read-progress.js';
import { recoverIntoStaging } from './recovery/recover-into-staging.js';
import { removeRemains, settleBackup } from './settle-backup.js';
import { dropPrevious, settleRestore, settleRevert } from './settle-restore.js';
import { revertRestore, swapIn, undoSwap } from './swap-in.js';

/** Every activity, with what it works with. All workers register all of them; the task queue decides who runs which. */
export function createActivities(deps: ActivityDeps): Activities {
  return {
    claimScheduledBackup: claimScheduledBackup(deps),
    beginAttempt: beginAttempt(deps),
    dumpDatabase: dumpDatabase(deps),
    endAttempt: endAttempt(deps),
    settleBackup: settleBackup(deps),
    removeRemains: removeRemains(deps),
    applyRetention: applyRetention(deps),
    deleteBackupObjects: deleteBackupObjects(deps),
    noteDeletionRefused: noteDeletionRefused(deps),
    prepareRestore: prepareRestore(deps),
    verifyArtifacts: verifyArtifacts(deps),
    buildStaging: buildStaging(deps),
    compareStaging: compareStaging(deps),
    recoverIntoStaging: recoverIntoStaging(deps),
    swapIn: swapIn(deps),
    undoSwap: undoSwap(deps),
    dropStaging: dropStaging(deps),
    readProgress: readProgress(deps),
    settleRestore: settleRestore(deps),
    revertRestore: revertRestore(deps),
    settleRevert: settleRevert(deps),
    dropPrevious: dropPrevious(deps),
    checkDatabase: checkDatabase(deps),
    checkDestination: checkDestination(deps),
    findHousekeeping: findHousekeeping(deps),
    sweepDestination: sweepDestination(deps),
    expireRows: expireRows(deps),
    readArchive: readArchive(deps),
    followLog: followLog(deps),
    noteArchiveError: noteArchiveError(deps),
    noteGap: noteGap(deps),
    releaseSource: releaseSource(deps),
    readChain: readChain(deps),
    claimChain: claimChain(deps),
    takeServerBackup: takeServerBackup(deps),
    noteChainRun: noteChainRun(deps),
    applyChainRetention: applyChainRetention(deps),
    inspectAttachment: inspectAttachment(deps),
    configurePitr: configurePitr(deps),
    awaitArchive: awaitArchive(deps),
    notePitrError: notePitrError(deps),
    claimInitialFull: claimInitialFull(deps),
    awaitBackup: awaitBackup(deps),
    proveInSandbox: proveInSandbox(deps),
    finishAttach: finishAttach(deps),
    beginDetach: beginDetach(deps),
    awaitArchiveStopped: awaitArchiveStopped(deps),
    finishDetach: finishDetach(deps),
    checkPolicy: checkPolicy(deps),
    sendNotification: sendNotification(deps),
    noteNotificationFailed: noteNotificationFailed(deps),
    cleanUpSource: cleanUpSource(deps),
  };
}
