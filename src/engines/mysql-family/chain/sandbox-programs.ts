import { dirname, join } from 'node:path';
import type { Tools } from '../../shared/find-tools.js';
import { findTools, requireTools, toolCommand } from '../../shared/find-tools.js';
import type { Brand } from '../brand.js';

/** Where servers lie from the folder of the client programs: Debian, Red Hat, their own archives. */
const PLACES = ['../sbin/', '../libexec/', ''];

export type SandboxPrograms = {
  readonly server: string;
  /** MariaDB's script that makes a data directory; null where the server does it. */
  readonly install: string | null;
  /** The prefix under which the server finds its messages and plugins. */
  readonly base: string;
  readonly version: string;
};

const serverName = (brand: Brand) => (brand.kind === 'mysql' ? 'mysqld' : 'mariadbd');

function query(brand: Brand, major: string, toolRoots: readonly string[], place: string) {
  const server = `${place}${serverName(brand)}`;
  return {
    brand: brand.kind,
    programs: (brand.kind === 'mysql' ? [server] : [server, 'mariadb-install-db']) as [string, ...string[]],
    accept: (version: string) => version.startsWith(`${major}.`),
    toolRoots,
  };
}

function describe(brand: Brand, tools: Tools, place: string): SandboxPrograms {
  const server = toolCommand(tools, `${place}${serverName(brand)}`);
  return {
    server,
    install: brand.kind === 'mysql' ? null : toolCommand(tools, 'mariadb-install-db'),
    base: server.includes('/') ? dirname(dirname(server)) : '/usr',
    version: tools.version,
  };
}

/** Programs of a server of the same brand and major, or null. */
export async function findSandboxPrograms(
  brand: Brand,
  major: string,
  toolRoots: readonly string[],
): Promise<SandboxPrograms | null> {
  for (const place of PLACES) {
    const tools = await findTools(query(brand, major, toolRoots, place));
    if (tools) return describe(brand, tools, place);
  }
  return null;
}

/** As `findSandboxPrograms`; throws `tools_missing`. */
export async function requireSandboxPrograms(
  brand: Brand,
  major: string,
  toolRoots: readonly string[],
): Promise<SandboxPrograms> {
  const found = await findSandboxPrograms(brand, major, toolRoots);
  if (found) return found;
  const place = PLACES[0] ?? '';
  const what = `${brand.title} ${major} server programs`;
  return describe(brand, await requireTools({ ...query(brand, major, toolRoots, place), what }), place);
}

/** Folders of messages and plugins below the prefix: packages differ. */
export const messagePlaces = (base: string) => [join(base, 'share/mariadb'), join(base, 'share/mysql')];
export const pluginPlaces = (base: string) => [
  join(base, 'lib/mysql/plugin'),
  join(base, 'lib64/mysql/plugin'),
  join(base, 'lib/plugin'),
];
