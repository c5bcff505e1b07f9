import { CancellationScope, isCancellation } from '@temporalio/workflow';
import type { ErrorCode } from '../domain/errors.js';
import { activities } from './activity-options.js';
import type { RunError } from './activity-types.js';
import type { AttachPlan } from './chain-activity-types.js';
import { startOrWake } from './entities.js';
import { closeAsFailed, toRunError } from './failures.js';
import type { AttachInput } from './messages.js';
import { Story } from './story.js';

export type AttachResult = { status: string; code: ErrorCode | null };

/**
 * Puts a database under its policy: inspects the server, starts the log archive before the full that needs it, waits for that full, opens it
 * once in a sandbox here. Each step looks first whether it is done already, so that a second run (a retry of PITR, a second database of the
 * server) repeats nothing. What fails stands on the attachment's row.
 */
export async function attach(input: AttachInput): Promise<AttachResult> {
  const story = new Story();
  const { attachmentId } = input;
  try {
    const start = await activities.prepare.inspectAttachment({ attachmentId });
    if (start.state === 'gone') {
      story.tell('The attachment is gone');
      return { status: 'detached', code: null };
    }
    if (start.state === 'refused') {
      story.tell(`Refused: ${start.error.message}`);
      return { status: 'error', code: start.error.code };
    }
    story.tell('The server was inspected');
    const error = await protect(input, start, story);
    const result = await activities.catalog.finishAttach({ attachmentId, error });
    story.tell(error === null ? `Attached: ${result.status}` : `Failed: ${error.message}`);
    story.status(result.status);
    return result;
  } catch (error) {
    const reason = toRunError(error);
    await CancellationScope.nonCancellable(() => activities.catalog.finishAttach({ attachmentId, error: reason }));
    story.tell(`Failed: ${reason.message}`);
    story.status('error');
    if (isCancellation(error)) throw error;
    throw closeAsFailed(reason);
  }
}

/** Null, or why the database is not protected. That its log is not archived is a state of its own and no reason to take no full. */
async function protect(input: AttachInput, plan: AttachPlan, story: Story): Promise<RunError | null> {
  if (plan.pitr) await beginArchive(input, plan, story);
  // A claim asked again after a lost answer is the same claim.
  const claimedAt = new Date().toISOString();
  const { chainId } = plan;
  const { attachmentId } = input;
  const { backupId } = await activities.catalog.claimInitialFull({ chainId, claimedAt, attachmentId });
  await startOrWake('chain', plan, input.labels);
  if (backupId !== null) {
    story.tell(`Waiting for the full ${backupId}`);
    const failed = await waitForBackup(backupId);
    if (failed !== null) return failed;
  }
  const { databases } = await activities.long.proveInSandbox({ attachmentId });
  story.tell(`A sandbox opened the full: ${databases} database(s)`);
  return null;
}

async function beginArchive(input: AttachInput, plan: AttachPlan, story: Story): Promise<void> {
  const { attachmentId } = input;
  try {
    // A worker of an earlier build says nothing: it was always wanted.
    const configured = (await activities.prepare.configurePitr({ attachmentId })) as { wanted: boolean } | undefined;
    if (configured?.wanted === false) return story.tell('PITR is not wanted any more');
    await startOrWake('archive', plan, input.labels);
    const error = await activities.wait.awaitArchive({ chainId: plan.chainId });
    if (error === null) return story.tell('The log is archived');
    await activities.catalog.notePitrError({ attachmentId, error });
    story.tell(`The log is not archived: ${error.message}`);
  } catch (error) {
    if (isCancellation(error)) throw error;
    const reason = toRunError(error);
    await activities.catalog.notePitrError({ attachmentId, error: reason });
    story.tell(`PITR could not be configured: ${reason.message}`);
  }
}

async function waitForBackup(backupId: string): Promise<RunError | null> {
  for (;;) {
    const result = await activities.wait.awaitBackup({ backupId });
    if (result === null) continue;
    if (result.status === 'completed') return null;
    return {
      code: result.code ?? 'internal',
      message: `The full ${backupId} ended as ${result.status}. ${result.message ?? ''}`.trim(),
    };
  }
}
