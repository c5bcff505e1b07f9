/**
 * Prisma's schema engine as WebAssembly. The native one is a download that npm does not carry; this one comes as a package and
 * needs no binary. Its own entry point imports the .wasm file as a module, which Node does not do without a flag, hence by hand.
 */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { PrismaPg } from '@prisma/adapter-pg';
import { bindMigrationAwareSqlAdapterFactory, ColumnTypeEnum } from '@prisma/driver-adapter-utils';
import type { DiffTarget, SchemaEngine } from '@prisma/schema-engine-wasm';

// The project compiles without the DOM library, which is where TypeScript keeps the types of WebAssembly.
type WasmExports = Record<string, unknown>;
type Wasm = {
  instantiate(bytes: Uint8Array, imports: Record<string, object>): Promise<{ instance: { exports: WasmExports } }>;
};
type Glue = {
  __wbg_set_wasm(exports: WasmExports): void;
  SchemaEngine: { new: typeof SchemaEngine.new };
};

let loaded: Promise<Glue> | undefined;

/** Once per process: the package keeps views of the memory of its one instance, a second would read the first one's. */
function loadGlue(): Promise<Glue> {
  loaded ??= instantiate();
  return loaded;
}

async function instantiate(): Promise<Glue> {
  const require = createRequire(import.meta.url);
  const gluePath = require.resolve('@prisma/schema-engine-wasm/schema_engine_bg');
  const glue = (await import(gluePath)) as Glue;
  const bytes = await readFile(gluePath.replace(/\.js$/, '.wasm'));
  const { WebAssembly: wasm } = globalThis as unknown as { WebAssembly: Wasm };
  const { instance } = await wasm.instantiate(bytes, { './schema_engine_bg.js': glue });
  glue.__wbg_set_wasm(instance.exports);
  (instance.exports.__wbindgen_start as () => void)();
  return glue;
}

/**
 * Answers the only question that the engine asks before it compares two texts: which server is this. Everything else is refused, so
 * that work which needs a database cannot seem to succeed without one.
 */
function noDatabase() {
  const refuse = async (): Promise<never> => {
    throw new Error('This call needs a database.');
  };
  const connection = {
    provider: 'postgres' as const,
    adapterName: 'no database',
    queryRaw: async () => ({
      columnNames: ['exists', 'version', 'numeric_version'],
      columnTypes: [ColumnTypeEnum.Boolean, ColumnTypeEnum.Text, ColumnTypeEnum.Int32],
      rows: [[true, 'PostgreSQL 15.0', 150000]],
    }),
    executeRaw: async () => 0,
    executeScript: refuse,
    startTransaction: refuse,
    getConnectionInfo: () => ({ schemaName: 'public', supportsRelationJoins: true }),
    dispose: async () => undefined,
  };
  return {
    provider: 'postgres' as const,
    adapterName: 'no database',
    connect: async () => connection,
    connectToShadowDb: async () => connection,
  };
}

/** Opens the engine on a database, or (null) for comparing texts alone. */
export async function openSchemaEngine(databaseUrl: string | null, schema: string): Promise<SchemaEngine> {
  const glue = await loadGlue();
  const factory = databaseUrl ? new PrismaPg({ connectionString: databaseUrl }) : noDatabase();
  return glue.SchemaEngine.new(
    { datamodels: [['schema.prisma', schema]] },
    () => undefined,
    bindMigrationAwareSqlAdapterFactory(factory),
  );
}

/** A diff target from the text of a schema. */
export function schemaTarget(schema: string): DiffTarget {
  return { tag: 'schemaDatamodel', files: [{ path: 'schema.prisma', content: schema }] };
}

/** Nothing is managed from outside: the engine compares every table and enum. */
export const noFilters = { externalTables: [], externalEnums: [] };
