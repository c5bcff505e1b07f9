import type { TableColumn, TableShape } from './row-checksum.js';
import type { Session } from './session.js';

export type TableKind = 'table' | 'view' | 'sequence';
export type TableEntry = {
  readonly name: string;
  readonly kind: TableKind;
  readonly versioned: boolean;
  /** Storage engine; null for views. */
  readonly engine: string | null;
  readonly autoIncrement: string | null;
  readonly bytes: number;
  /** The server's remark; of a view that cannot be read, the reason. */
  readonly comment: string;
};

/** A database and what is in it. */
export type DatabaseTables = { readonly schema: string; readonly tables: readonly TableEntry[] };

/** Every table, view and sequence of the databases, by name. Name comparison is binary: `a` and `A` are two tables. */
export async function listTablesOf(session: Session, schemas: readonly string[]): Promise<DatabaseTables[]> {
  if (schemas.length === 0) return [];
  const rows = await session.rows(
    `SELECT TABLE_SCHEMA AS table_schema, TABLE_NAME AS name, TABLE_TYPE AS type, ENGINE AS engine, AUTO_INCREMENT AS next_value,
       COALESCE(DATA_LENGTH, 0) + COALESCE(INDEX_LENGTH, 0) AS bytes, TABLE_COMMENT AS comment
     FROM information_schema.TABLES WHERE TABLE_SCHEMA IN (${schemas.map(() => '?').join(', ')})`,
    schemas,
    'Listing the tables failed',
  );
  const bySchema = new Map<string, TableEntry[]>(schemas.map((schema) => [schema, []]));
  for (const row of rows) {
    if (row.type === 'TEMPORARY' || row.type === 'TEMPORARY SEQUENCE') continue;
    // A server that folds names prints another case than it was asked with.
    const list = bySchema.get(row.table_schema ?? '') ?? bySchema.get(schemas.length === 1 ? (schemas[0] ?? '') : '');
    list?.push({
      name: row.name ?? '',
      kind: row.type?.includes('VIEW')
        ? ('view' as const)
        : row.type === 'SEQUENCE'
          ? ('sequence' as const)
          : ('table' as const),
      versioned: row.type === 'SYSTEM VERSIONED',
      engine: row.engine ?? null,
      autoIncrement: row.next_value ?? null,
      bytes: Number(row.bytes ?? 0),
      comment: row.comment ?? '',
    });
  }
  return [...bySchema].map(([schema, tables]) => ({
    schema,
    tables: tables.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)),
  }));
}

/** As `listTablesOf`, for one database. */
export async function listTables(session: Session, schema: string): Promise<TableEntry[]> {
  const [found] = await listTablesOf(session, [schema]);
  return [...(found?.tables ?? [])];
}

/** When a row of a system-versioned table was valid. Without columns of its own for it, the table has two that are listed nowhere. */
function hiddenPeriod(table: TableEntry, columns: readonly TableColumn[]): TableColumn[] {
  if (!table.versioned || columns.some((column) => column.isPeriod)) return [];
  return ['row_start', 'row_end'].map((name) => ({ name, dataType: 'timestamp', bytes: 0, isPeriod: true }));
}

/** Columns of every table in their order, generated and invisible ones included. */
export async function readTableShapes(
  session: Session,
  schema: string,
  tables: readonly TableEntry[],
): Promise<TableShape[]> {
  const rows = await session.rows(
    `SELECT TABLE_NAME AS table_name, COLUMN_NAME AS column_name, DATA_TYPE AS data_type, CHARACTER_OCTET_LENGTH AS bytes,
       GENERATION_EXPRESSION AS generation
     FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? ORDER BY ORDINAL_POSITION`,
    [schema],
    'Listing the columns failed',
  );
  const byTable = new Map<string, TableColumn[]>();
  for (const row of rows) {
    const list = byTable.get(row.table_name ?? '') ?? [];
    list.push({
      name: row.column_name ?? '',
      dataType: (row.data_type ?? '').toLowerCase(),
      bytes: Number(row.bytes ?? 0),
      isPeriod: /^ROW (START|END)$/i.test(row.generation ?? ''),
    });
    byTable.set(row.table_name ?? '', list);
  }
  return tables
    .filter((table) => table.kind === 'table')
    .map((table) => {
      const columns = byTable.get(table.name) ?? [];
      return { name: table.name, columns: [...columns, ...hiddenPeriod(table, columns)], versioned: table.versioned };
    });
}
