import {
  dailyScheduleRequestSchema,
  dailyScheduleSchema,
  recoveryWindowSchema,
} from '../../domain/schemas/policies.js';
import { deleteDailySchedule } from '../../usecases/delete-daily-schedule.js';
import { getDailySchedule } from '../../usecases/get-daily-schedule.js';
import { getRecoveryWindow } from '../../usecases/get-recovery-window.js';
import { putDailySchedule } from '../../usecases/put-daily-schedule.js';
import type { Route } from '../route.js';
import { defineRoute, idOf } from '../route.js';

const path = '/v1/databases/{id}/scheduled-backups/default';
const params = { id: 'database' } as const;
const tag = 'Databases';

/** What protects one database: its recovery window and its own daily schedule. */
export const databaseProtectionRoutes: Route[] = [
  defineRoute({
    method: 'get',
    path: '/v1/databases/{id}/recovery-window',
    operationId: 'getRecoveryWindow',
    tag,
    summary: 'To which moments a database can be restored',
    description: 'From what is stored, never from a schedule.',
    scope: 'read',
    params,
    status: 200,
    answer: recoveryWindowSchema,
    handle: ({ context, principal, params: given }) =>
      getRecoveryWindow(context, principal, { databaseId: idOf(given) }),
  }),
  defineRoute({
    method: 'put',
    path,
    operationId: 'putDailySchedule',
    tag,
    summary: 'Back up a database once a day',
    description: 'Instead of a policy. The time is UTC.',
    scope: 'operate',
    params,
    body: dailyScheduleRequestSchema,
    status: 200,
    answer: dailyScheduleSchema,
    errors: ['already_attached', 'destination_required'],
    handle: ({ context, principal, params: given, body }) =>
      putDailySchedule(context, principal, { databaseId: idOf(given), ...body }),
  }),
  defineRoute({
    method: 'get',
    path,
    operationId: 'getDailySchedule',
    tag,
    summary: 'Read the daily schedule of a database',
    scope: 'read',
    params,
    status: 200,
    answer: dailyScheduleSchema,
    handle: ({ context, principal, params: given }) =>
      getDailySchedule(context, principal, { databaseId: idOf(given) }),
  }),
  defineRoute({
    method: 'delete',
    path,
    operationId: 'deleteDailySchedule',
    tag,
    summary: 'End the daily schedule of a database',
    description: 'Its backups stay and can be restored.',
    scope: 'operate',
    params,
    status: 204,
    errors: ['still_referenced'],
    handle: ({ context, principal, params: given }) =>
      deleteDailySchedule(context, principal, { databaseId: idOf(given) }),
  }),
];
