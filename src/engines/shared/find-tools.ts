import { access, constants, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { TidemarkError } from '../../domain/errors.js';
import { runChild } from '../../platform/run-child.js';

/** Whose programs are sought. A MariaDB client on MySQL fails in the login, and the other way round: never mix brands. */
export type ToolBrand = 'postgresql' | 'mysql' | 'mariadb';

/** A set of programs of one brand and version, lying together. */
export type Tools = {
  /** `17.12`, `9.7.4`, `11.8.6`: what the first program prints. */
  readonly version: string;
  /** Command of each program that was asked for, by the name it was asked for. */
  readonly commands: Readonly<Record<string, string>>;
};

const versionTexts: Record<ToolBrand, RegExp> = {
  postgresql: /\(PostgreSQL\) (\d+(?:\.\d+)*)/,
  mysql: /\bVer (\d+\.\d+\.\d+)(?!.*MariaDB)/,
  mariadb: /(\d+\.\d+\.\d+)-MariaDB/,
};

/** Folder names of products under a tool root (`pg17`, `mysql`, `mariadb1011`). */
const rootNames: Record<ToolBrand, RegExp> = { postgresql: /^pg\d+$/, mysql: /^mysql\d*$/, mariadb: /^mariadb\d*$/ };

async function list(dir: string): Promise<string[]> {
  try {
    return (await readdir(dir)).sort();
  } catch {
    return [];
  }
}

/** Debian keeps PostgreSQL's programs in one folder per major, the others in `usr/bin`. */
async function binDirsBelow(prefix: string, brand: ToolBrand): Promise<string[]> {
  if (brand !== 'postgresql') return [join(prefix, 'usr/bin')];
  const versions = join(prefix, 'usr/lib/postgresql');
  return (await list(versions)).map((name) => join(versions, name, 'bin'));
}

async function candidateDirs(brand: ToolBrand, toolRoots: readonly string[]): Promise<(string | null)[]> {
  const dirs: (string | null)[] = [];
  for (const root of toolRoots) {
    for (const name of await list(root)) {
      if (rootNames[brand].test(name)) dirs.push(...(await binDirsBelow(join(root, name), brand)));
    }
  }
  dirs.push(...(await binDirsBelow('/', brand)));
  // null: let the PATH decide.
  dirs.push(null);
  return dirs;
}

const versions = new Map<string, string | null>();

/** The version a program prints; null when it does not run or is of another brand. Remembered for the life of the process once known. */
async function versionOf(command: string, brand: ToolBrand): Promise<string | null> {
  const known = versions.get(`${brand} ${command}`);
  if (known !== undefined) return known;
  const result = await runChild({
    command,
    args: ['--version'],
    env: {},
    label: `${command} --version`,
    timeoutMs: 20_000,
    maxStdoutBytes: 64 * 1024,
  });
  const version = result.code === 0 ? (versionTexts[brand].exec(result.stdout)?.[1] ?? null) : null;
  if (version !== null) versions.set(`${brand} ${command}`, version);
  return version;
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Finds the programs of a brand whose version is accepted: under each tool root, then in Debian's places, then on the PATH; the first
 * place that has all of them wins. Null when there is none.
 */
export async function findTools(options: {
  readonly brand: ToolBrand;
  /** All of them must be there; the first one is asked for its version. */
  readonly programs: readonly [string, ...string[]];
  readonly accept: (version: string) => boolean;
  readonly toolRoots: readonly string[];
}): Promise<Tools | null> {
  for (const dir of await candidateDirs(options.brand, options.toolRoots)) {
    const commands = options.programs.map((name) => [name, dir === null ? name : join(dir, name)] as const);
    if (dir !== null && !(await Promise.all(commands.map(([, path]) => isExecutable(path)))).every(Boolean)) continue;
    const found: string[] = [];
    for (const [, command] of dir === null ? commands : commands.slice(0, 1)) {
      const version = await versionOf(command, options.brand);
      if (version === null || !options.accept(version)) break;
      found.push(version);
    }
    if (found.length !== (dir === null ? commands.length : 1)) continue;
    return { version: found[0] ?? '', commands: Object.fromEntries(commands) };
  }
  return null;
}

/** As `findTools`, but throws `tools_missing` naming `what` (`PostgreSQL 17 client programs`). */
export async function requireTools(
  options: Parameters<typeof findTools>[0] & { readonly what: string },
): Promise<Tools> {
  const tools = await findTools(options);
  if (tools) return tools;
  throw new TidemarkError(
    'tools_missing',
    `${options.what} (${options.programs.join(', ')}) were not found under ${options.toolRoots.join(', ') || 'any tool root'} nor on the PATH.`,
    { object: options.what },
  );
}

/** The command of one program of a set. */
export function toolCommand(tools: Tools, program: string): string {
  const command = tools.commands[program];
  if (command === undefined) throw new Error(`${program} was not asked for`);
  return command;
}
