import { largeWrites } from '../../platform/large-writes.js';
import { findTools, requireTools, toolCommand } from '../shared/find-tools.js';
import type { Brand } from './brand.js';

export type ClientTools = {
  readonly dump: string;
  /** See `largeWrites`; found here, because a dump is started while the source's writes wait. */
  readonly dumpLauncher: readonly string[];
  readonly client: string;
  /** Version that the dump tool prints. */
  readonly version: string;
};

/** Same brand and major: another brand's client fails in the login, another major may not know what the server can hold. */
function query(brand: Brand, major: string, toolRoots: readonly string[]) {
  return {
    brand: brand.kind,
    programs: [brand.dumpProgram, brand.clientProgram] as const,
    accept: (version: string) => version.startsWith(`${major}.`),
    toolRoots,
  };
}

/** Throws `tools_missing` naming brand and major. */
export async function requireClientTools(
  brand: Brand,
  major: string,
  toolRoots: readonly string[],
): Promise<ClientTools> {
  const tools = await requireTools({
    ...query(brand, major, toolRoots),
    what: `${brand.title} ${major} client programs`,
  });
  const dump = toolCommand(tools, brand.dumpProgram);
  return {
    dump,
    dumpLauncher: await largeWrites(dump),
    client: toolCommand(tools, brand.clientProgram),
    version: tools.version,
  };
}

export async function hasClientTools(brand: Brand, major: string, toolRoots: readonly string[]): Promise<boolean> {
  return (await findTools(query(brand, major, toolRoots))) !== null;
}
