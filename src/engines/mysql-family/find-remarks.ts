import type { CheckFinding, DatabaseConnection } from '../engine.js';
import type { Brand } from './brand.js';
import type { Session } from './session.js';
import type { TableEntry } from './table-shapes.js';

export async function findRemarks(
  _session: Session,
  _brand: Brand,
  _connection: DatabaseConnection,
  _tables: readonly TableEntry[],
): Promise<CheckFinding[]> {
  return [];
}
