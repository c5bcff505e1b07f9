import { expect, it } from 'vitest';
import type { CreateRestore } from '../../src/domain/schemas/restores.js';
import { requestBackup } from '../../src/usecases/request-backup.js';
import { requestRestore } from '../../src/usecases/request-restore.js';
import { completeBackupRow, registerPlan, useUsecases } from '../support/usecase-stack.js';

const stack = useUsecases();

const connection = { host: 'localhost', port: 5433, username: 'loader', password: 'other-password' };

it('restores that are asked for at once are all accepted, whatever their sources and targets have to do with each other', async () => {
  const { context, admin } = stack;
  const made = [];
  for (let count = 0; count < 2; count += 1) {
    const { database, plan } = await registerPlan(context, admin);
    const backup = await requestBackup(context, admin, { planId: plan.id });
    await completeBackupRow(context, backup.id);
    made.push({ databaseId: database.id, backupId: backup.id });
  }
  const [one, other] = made as [(typeof made)[0], (typeof made)[0]];
  // Each waits for rows that another one has locked, unless all lock them in the same order.
  for (let round = 0; round < 15; round += 1) {
    const request = (backupId: string, target: CreateRestore['target']) =>
      requestRestore(context, admin, {
        source: { kind: 'backup', backupId },
        target,
        overwrite: true,
        confirmOverwrite: false,
        keepPreviousHours: 1,
      });
    const accepted = await Promise.all([
      request(one.backupId, { kind: 'server', databaseId: one.databaseId, database: `a${round}` }),
      request(one.backupId, { kind: 'server', ...connection, database: `b${round}` }),
      request(one.backupId, { kind: 'server', databaseId: other.databaseId, database: `c${round}` }),
      request(other.backupId, { kind: 'server', databaseId: one.databaseId, database: `d${round}` }),
      request(other.backupId, { kind: 'server', ...connection, database: `e${round}` }),
    ]);
    expect(new Set(accepted.map(({ id }) => id)).size).toBe(5);
  }
});
