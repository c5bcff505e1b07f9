import {
  backupFilesSchema,
  backupListSchema,
  backupSchema,
  createBackupSchema,
  downloadQuery,
  listBackupsQuery,
  removedBackupSchema,
} from '../../domain/schemas/backups.js';
import { pageQuery } from '../../domain/schemas/common.js';
import { restoreListSchema } from '../../domain/schemas/restores.js';
import { cancelBackup } from '../../usecases/cancel-backup.js';
import type { Principal, UsecaseContext } from '../../usecases/context.js';
import { deleteBackup } from '../../usecases/delete-backup.js';
import { downloadBackup } from '../../usecases/download-backup.js';
import { getBackup } from '../../usecases/get-backup.js';
import { listBackupFiles } from '../../usecases/list-backup-files.js';
import { listBackups } from '../../usecases/list-backups.js';
import { listRestoresOfBackup } from '../../usecases/list-restores.js';
import { requestBackup } from '../../usecases/request-backup.js';
import type { Route } from '../route.js';
import { defineRoute, idOf } from '../route.js';
import { sendFile } from '../send-file.js';

const replay = (context: UsecaseContext, principal: Principal, id: string) =>
  getBackup(context, principal, { backupId: id });

/** `/v1/backups`. */
export const backupRoutes: Route[] = [
  defineRoute({
    method: 'post',
    path: '/v1/backups',
    operationId: 'createBackup',
    tag: 'Backups',
    summary: 'Take a backup now',
    description:
      'Of a plan; or, with `databaseId`, a full or incremental of the whole server of a database that is attached to a policy.',
    scope: 'operate',
    body: createBackupSchema,
    status: 202,
    answer: backupSchema,
    errors: [
      'run_in_progress',
      'destination_required',
      'destination_disabled',
      'destination_deleted',
      'not_found',
      'not_supported',
      'conflict',
    ],
    replay,
    handle: ({ context, principal, body }) => requestBackup(context, principal, body),
  }),
  defineRoute({
    method: 'get',
    path: '/v1/backups',
    operationId: 'listBackups',
    tag: 'Backups',
    summary: 'The history of backups',
    scope: 'read',
    query: listBackupsQuery,
    status: 200,
    answer: backupListSchema,
    errors: ['invalid_cursor'],
    handle: ({ context, principal, query }) => listBackups(context, principal, query),
  }),
  defineRoute({
    method: 'get',
    path: '/v1/backups/{id}',
    operationId: 'getBackup',
    tag: 'Backups',
    summary: 'Read a backup',
    scope: 'read',
    params: { id: 'backup' },
    status: 200,
    answer: backupSchema,
    handle: ({ context, principal, params }) => getBackup(context, principal, { backupId: idOf(params) }),
  }),
  defineRoute({
    method: 'delete',
    path: '/v1/backups/{id}',
    operationId: 'deleteBackup',
    tag: 'Backups',
    summary: 'Delete a backup',
    description:
      '202 while its objects are being removed; 204 when there is nothing left to remove. `removes` names the incrementals that go with it.',
    scope: 'operate',
    params: { id: 'backup' },
    status: 202,
    emptyWhenDone: true,
    answer: removedBackupSchema,
    errors: ['run_in_progress', 'still_referenced'],
    handle: async ({ context, principal, params }) => {
      const result = await deleteBackup(context, principal, { backupId: idOf(params) });
      return result.state === 'removing' ? result.backup : undefined;
    },
  }),
  defineRoute({
    method: 'post',
    path: '/v1/backups/{id}/cancel',
    operationId: 'cancelBackup',
    tag: 'Backups',
    summary: 'Cancel a backup',
    scope: 'operate',
    params: { id: 'backup' },
    status: 202,
    answer: backupSchema,
    errors: ['conflict'],
    replay,
    handle: ({ context, principal, params }) => cancelBackup(context, principal, { backupId: idOf(params) }),
  }),
  defineRoute({
    method: 'get',
    path: '/v1/backups/{id}/files',
    operationId: 'listBackupFiles',
    tag: 'Backups',
    summary: 'The files of a backup',
    scope: 'read',
    params: { id: 'backup' },
    status: 200,
    answer: backupFilesSchema,
    errors: ['backup_not_restorable', 'destination_unreachable', 'manifest_missing', 'manifest_forged'],
    handle: ({ context, principal, params }) => listBackupFiles(context, principal, { backupId: idOf(params) }),
  }),
  defineRoute({
    method: 'get',
    path: '/v1/backups/{id}/download',
    operationId: 'downloadBackup',
    tag: 'Backups',
    summary: "Download the engine's own file",
    description:
      'Decrypted and verified while it is sent; when a check fails the connection breaks, so that a bad file never looks complete. ' +
      'A backup of MySQL or MariaDB that has several SQL files (see `/files`) comes as one, in the order of loading; load it into an empty ' +
      'database with the client flags `--binary-mode --comments --default-character-set=utf8mb4`.',
    scope: 'operate',
    params: { id: 'backup' },
    query: downloadQuery,
    status: 200,
    stream: { contentType: 'application/octet-stream', description: 'The file.' },
    errors: [
      'backup_not_restorable',
      'destination_unreachable',
      'manifest_missing',
      'manifest_forged',
      'object_missing',
    ],
    handle: async ({ context, principal, params, query, request, response }) => {
      const closed = new AbortController();
      response.once('close', () => closed.abort());
      const file = await downloadBackup(context, principal, {
        backupId: idOf(params),
        file: query.file,
        signal: closed.signal,
      });
      await sendFile(request, response, file);
    },
  }),
  defineRoute({
    method: 'get',
    path: '/v1/backups/{id}/restores',
    operationId: 'listRestoresOfBackup',
    tag: 'Backups',
    summary: 'Restores of a backup, newest first',
    scope: 'read',
    params: { id: 'backup' },
    query: pageQuery,
    status: 200,
    answer: restoreListSchema,
    errors: ['invalid_cursor'],
    handle: ({ context, principal, params, query }) =>
      listRestoresOfBackup(context, principal, { backupId: idOf(params), query }),
  }),
];
