import { describe, expect, it } from 'vitest';
import { beginAttempt } from '../../src/catalog/runs/backup-run.js';
import { findHousekeeping, findLiveAttempts } from '../../src/catalog/runs/housekeeping.js';
import { newId } from '../../src/domain/ids.js';
import { requestBackup } from '../../src/usecases/request-backup.js';
import { requestRestore } from '../../src/usecases/request-restore.js';
import { completeBackupRow, registerPlan, useUsecases } from '../support/usecase-stack.js';

describe('what housekeeping finds to do', () => {
  const stack = useUsecases();

  it('is not the former content of a revert that stands half way', async () => {
    const { context, admin } = stack;
    const { prisma } = context.catalog;
    const { database, plan } = await registerPlan(context, admin);
    const backup = await requestBackup(context, admin, { planId: plan.id });
    await completeBackupRow(context, backup.id);
    const { id } = await requestRestore(context, admin, {
      source: { kind: 'backup', backupId: backup.id },
      target: { kind: 'server', databaseId: database.id, database: 'copy' },
      overwrite: true,
      confirmOverwrite: false,
      keepPreviousHours: 1,
    });
    const past = new Date(Date.now() - 60_000);
    const settled = { status: 'completed', activeKey: null, completedAt: past, previousUntil: past };
    await prisma.restore.update({ where: { id }, data: { ...settled, previousName: `copy__before_${id}` } });
    expect((await findHousekeeping(context.catalog)).previousOfRestores).toContain(id);
    const journal = { id: newId('journal'), restoreId: id, purpose: 'revert', plan: {} };
    await prisma.swapJournal.create({ data: journal });
    expect((await findHousekeeping(context.catalog)).previousOfRestores).not.toContain(id);
    await prisma.swapJournal.update({ where: { id: journal.id }, data: { state: 'undone' } });
    expect((await findHousekeeping(context.catalog)).previousOfRestores).toContain(id);
  });

  it('leaves every attempt alone that may still be writing, under whichever registration of its bucket', async () => {
    const { context, admin } = stack;
    const { plan } = await registerPlan(context, admin);
    const backup = await requestBackup(context, admin, { planId: plan.id });
    const begun = await beginAttempt(context.catalog, backup.id);
    if (begun.state !== 'begun') throw new Error('the attempt was expected to begin');
    expect(await findLiveAttempts(context.catalog)).toContain(begun.attemptId);
    await completeBackupRow(context, backup.id);
    expect(await findLiveAttempts(context.catalog)).not.toContain(begun.attemptId);
  });
});
