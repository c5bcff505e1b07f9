/**
 * Prisma's schema engine as WebAssembly. The native one is a download that npm does not carry; this one comes as a package and
 * needs no binary. Its own entry point imports the .wasm file as a module, which Node does not do without a flag, hence by hand.
 */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { PrismaPg } from '@prisma/adapter-pg';
import { bindMigrationAwareSqlAdapterFactory, mockMigrationAwareAdapterFactory } from '@prisma/driver-adapter-utils';
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

async function loadGlue(): Promise<Glue> {
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

/** Opens the engine on a database, or without one for work on texts alone. */
export async function openSchemaEngine(databaseUrl: string | null, schema: string): Promise<SchemaEngine> {
  const glue = await loadGlue();
  const factory = databaseUrl
    ? new PrismaPg({ connectionString: databaseUrl })
    : mockMigrationAwareAdapterFactory('postgres');
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
