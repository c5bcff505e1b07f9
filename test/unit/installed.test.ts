import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { InstallEnvironment } from '../../src/platform/installed.js';
import {
  cacheRoot,
  engineProducts,
  engineRoot,
  enginesRoot,
  toolNames,
  toolPath,
  toolPlace,
} from '../../src/platform/installed.js';

const scripts = resolve(import.meta.dirname, '../../scripts');
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidemark-installed-'));
  chmodSync(folder, 0o755);
  mkdirSync(join(folder, 'closed/home'), { recursive: true });
  chmodSync(join(folder, 'closed'), 0o700);
  mkdirSync(join(folder, 'open/home'), { recursive: true });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function where(script: string, env: InstallEnvironment): string {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined));
  return execFileSync(join(scripts, script), ['--where'], {
    env: { PATH: process.env.PATH ?? '', ...given },
    encoding: 'utf8',
  }).trim();
}

describe('where engines and tools are', () => {
  it('is the same for the installers and for the service', () => {
    const homes: InstallEnvironment[] = [
      { HOME: join(folder, 'open/home') },
      { HOME: join(folder, 'closed/home') },
      { HOME: join(folder, 'closed/home'), XDG_CACHE_HOME: join(folder, 'open/cache') },
      { HOME: join(folder, 'open/home'), XDG_CACHE_HOME: join(folder, 'closed/cache') },
      { HOME: join(folder, 'open/home'), XDG_CACHE_HOME: '' },
      { HOME: join(folder, 'open/home'), TIDEMARK_ENGINES: join(folder, 'engines') },
      {},
    ];
    for (const env of homes) {
      expect(where('install-engines.sh', env), JSON.stringify(env)).toBe(enginesRoot(env));
      expect(where('install-tools.sh', env), JSON.stringify(env)).toBe(join(cacheRoot(env), 'tools'));
    }
  });

  it('is below the home of an ordinary user even when that is closed, and never for root', () => {
    const env = { HOME: join(folder, 'closed/home') };
    expect(cacheRoot(env, 1000)).toBe(join(folder, 'closed/home/.cache/tidemark'));
    expect(cacheRoot(env, 0)).toBe('/var/cache/tidemark');
  });

  it('counts an engine only when its installer finished it at this very place', () => {
    const env = { HOME: join(folder, 'open/home'), TIDEMARK_ENGINES: join(folder, 'some') };
    for (const product of engineProducts) expect(engineRoot(product, env)).toBeNull();
    const root = join(folder, 'some/pg18');
    mkdirSync(root, { recursive: true });
    expect(engineRoot('pg18', env), 'begun').toBeNull();
    writeFileSync(join(root, 'ROOT'), '/somewhere/else/pg18\n');
    expect(engineRoot('pg18', env), 'moved').toBeNull();
    writeFileSync(join(root, 'ROOT'), `${root}\n`);
    expect(engineRoot('pg18', env)).toBe(root);
    symlinkSync(join(folder, 'some'), join(folder, 'link'));
    expect(engineRoot('pg18', { TIDEMARK_ENGINES: join(folder, 'link') }), 'through a link').toBe(root);
  });

  it('gives no path for a tool that is not there', () => {
    const env = { HOME: join(folder, 'open/home'), XDG_CACHE_HOME: join(folder, 'tools-test') };
    for (const name of toolNames) expect(toolPath(name, env)).toBeNull();
    mkdirSync(join(toolPlace('temporal', env), '..'), { recursive: true });
    writeFileSync(toolPlace('temporal', env), '', { mode: 0o755 });
    expect(toolPath('temporal', env)).toBe(toolPlace('temporal', env));
  });
});
