/**
 * Where `npm run setup` puts what Tidemark runs: database engines and tools, outside the checkout and shared by all checkouts of a user.
 *
 * The same layout is written by `scripts/install-engines.sh` and `scripts/install-tools.sh`; a component of the host whose version fits
 * appears there as a link, so nothing else has to search.
 */
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** A private root each. The names say brand and version line, as the sandbox and the tests need them. */
export const engineProducts = ['pg15', 'pg17', 'pg18', 'mysql', 'mariadb', 'mariadb1011'] as const;
export type EngineProduct = (typeof engineProducts)[number];

/** What each product is called in messages. */
export const engineProductTitles: Record<EngineProduct, string> = {
  pg15: 'PostgreSQL 15',
  pg17: 'PostgreSQL 17',
  pg18: 'PostgreSQL 18',
  mysql: 'MySQL 9.7',
  mariadb: 'MariaDB 11.8',
  mariadb1011: 'MariaDB 10.11',
};

/** Program of each tool, below `<cache>/tools`. The version is in the folder's name: a newer checkout never disturbs an older one. */
const toolPrograms = {
  temporal: 'temporal-1.5.1/temporal',
  versitygw: 'versitygw-1.8.0/versitygw',
  'temporal-test-server': 'temporal-test-server-1.38.0/temporal-test-server',
} as const;
export type ToolName = keyof typeof toolPrograms;
export const toolNames = Object.keys(toolPrograms) as ToolName[];

/** The part of the environment that decides where things are. `TIDEMARK_ENGINES` replaces the folder of the engines only. */
export type InstallEnvironment = {
  readonly HOME?: string | undefined;
  readonly XDG_CACHE_HOME?: string | undefined;
  readonly TIDEMARK_ENGINES?: string | undefined;
};

/** True when other users can enter every directory on the way to `path` (as far as it exists). */
function openToOthers(path: string): boolean {
  for (let dir = path; ; dir = dirname(dir)) {
    const mode = statSync(dir, { throwIfNoEntry: false })?.mode;
    if (mode !== undefined && (mode & 0o001) === 0) return false;
    if (dir === dirname(dir)) return true;
  }
}

/**
 * `${XDG_CACHE_HOME:-$HOME/.cache}/tidemark`. For root, when that lies in a home closed to other users: `/var/cache/tidemark`, because
 * database servers refuse to run as root and the user they run as must reach their programs.
 */
export function cacheRoot(env: InstallEnvironment, uid: number = process.getuid?.() ?? -1): string {
  const base = env.XDG_CACHE_HOME || (env.HOME ? join(env.HOME, '.cache') : '');
  if (base === '') return '/var/cache/tidemark';
  const root = join(base, 'tidemark');
  return uid === 0 && !openToOthers(root) ? '/var/cache/tidemark' : root;
}

/** The folder that holds one root per engine product. */
export function enginesRoot(env: InstallEnvironment): string {
  return env.TIDEMARK_ENGINES || join(cacheRoot(env), 'engines');
}

/** The root of a product (`<root>/usr/...`), or null when it is not installed completely. */
export function engineRoot(product: EngineProduct, env: InstallEnvironment): string | null {
  try {
    // The installer names real paths; a home may be a link.
    const root = realpathSync(join(enginesRoot(env), product));
    // Written last by the installer, after the program has run; names the place, because paths are baked into the programs.
    return readFileSync(join(root, 'ROOT'), 'utf8').trim() === root ? root : null;
  } catch {
    return null;
  }
}

/** The folder of a product's programs as the package lays them out: PostgreSQL keeps one per major, the others `usr/bin`. */
export function engineBinDir(product: EngineProduct, root: string): string {
  return product.startsWith('pg') ? join(root, 'usr/lib/postgresql', product.slice(2), 'bin') : join(root, 'usr/bin');
}

/** The installed version by Debian's package (`18.6-1`), for display; null when unknown. */
export function engineVersion(product: EngineProduct, root: string): string | null {
  const main = product.startsWith('pg')
    ? `postgresql-${product.slice(2)}`
    : `${product.replace('1011', '')}-server-core`;
  try {
    for (const line of readFileSync(join(root, 'VERSIONS'), 'utf8').split('\n')) {
      const version = line.startsWith(`${main}_`) ? line.split('_')[1] : undefined;
      if (version !== undefined) return decodeURIComponent(version).replace(/^\d+:/, '');
    }
  } catch {
    // Shown as unknown.
  }
  return null;
}

/** Where a tool's program belongs, whether or not it is there. */
export function toolPlace(name: ToolName, env: InstallEnvironment): string {
  return join(cacheRoot(env), 'tools', toolPrograms[name]);
}

/** The program of a tool, or null when it is not installed. */
export function toolPath(name: ToolName, env: InstallEnvironment): string | null {
  const path = toolPlace(name, env);
  return statSync(path, { throwIfNoEntry: false })?.isFile() ? path : null;
}
