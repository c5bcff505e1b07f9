import type { TargetInspection } from '../engine.js';
import { findDatabaseSettings } from './database-settings.js';
import { holdsPrivilege, readPrivileges } from './privileges.js';
import { NOTES_TABLE } from './restore-names.js';
import type { RestoreScope } from './restore-scope.js';

const MAX_NAMES = 20;

/** Foreign keys of other databases to tables of this one follow a renamed table away: after a swap they would name the former content. */
export async function findOutsideTies(scope: RestoreScope, target: string): Promise<string[]> {
  const rows = await scope.control.rows(
    `SELECT CONSTRAINT_SCHEMA AS other, TABLE_NAME AS table_name, CONSTRAINT_NAME AS name, REFERENCED_TABLE_NAME AS parent
     FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE UNIQUE_CONSTRAINT_SCHEMA = ? AND CONSTRAINT_SCHEMA <> ?
     ORDER BY 1, 2, 3`,
    [target, target],
    'Looking for foreign keys from outside failed',
  );
  return rows
    .filter((row) => !row.other?.startsWith('tm_stage_'))
    .map((row) => `foreign key ${row.name} of ${row.other}.${row.table_name} to ${target}.${row.parent}`);
}

async function objectNames(scope: RestoreScope, target: string): Promise<string[]> {
  const rows = await scope.control.rows(
    `SELECT name FROM (
       SELECT 1 AS kind, TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME <> '${NOTES_TABLE}'
       UNION ALL SELECT 2, CONCAT(LOWER(ROUTINE_TYPE), ' ', ROUTINE_NAME) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ?
       UNION ALL SELECT 3, CONCAT('event ', EVENT_NAME) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ?
     ) AS objects ORDER BY kind, name LIMIT ${MAX_NAMES}`,
    [target, target, target],
    'Listing the objects of the target failed',
  );
  return rows.map((row) => row.name ?? '');
}

/** See RestoreSession.inspect. */
export async function inspectTarget(scope: RestoreScope, target: string): Promise<TargetInspection> {
  const { control, brand } = scope;
  const privileges = await readPrivileges(control);
  const canCreateDatabase =
    holdsPrivilege(privileges, 'CREATE', `tm_stage_${scope.restoreId}_1`) &&
    holdsPrivilege(privileges, 'DROP', `tm_stage_${scope.restoreId}_1`);
  const exists = (await findDatabaseSettings(control, brand, target)) !== null;
  const common = { canCreateDatabase, freeBytes: null };
  if (!exists) return { ...common, exists: false, empty: true, objects: [], sizeBytes: 0, outsideTies: [] };
  const objects = await objectNames(scope, target);
  const size = await control.value(
    'SELECT COALESCE(SUM(COALESCE(DATA_LENGTH, 0) + COALESCE(INDEX_LENGTH, 0)), 0) FROM information_schema.TABLES WHERE TABLE_SCHEMA = ?',
    [target],
  );
  return {
    ...common,
    exists,
    empty: objects.length === 0,
    objects,
    sizeBytes: Number(size ?? 0),
    outsideTies: await findOutsideTies(scope, target),
  };
}
