import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '../..');

/**
 * A small checkout: the real script, and one package named `node` whose program only knows its version, and which counts in a file how often
 * it was installed. Installing it takes as long as its install script sleeps, so that a test can step in between.
 */
let checkout: string;
const at = (...parts: string[]) => join(checkout, ...parts);
const installs = () => (existsSync(at('installs')) ? readFileSync(at('installs'), 'utf8').length : 0);

function writePackage(version: string, seconds: number): void {
  mkdirSync(at('node-package', 'bin'), { recursive: true });
  writeFileSync(at('node-package/bin/node'), '#!/bin/sh\necho v24.0.0\n', { mode: 0o755 });
  const script = `touch ${at('started')} && sleep ${seconds} && printf x >> ${at('installs')}`;
  const json = { name: 'node', version, bin: { node: 'bin/node' }, scripts: { preinstall: script } };
  writeFileSync(at('node-package/package.json'), JSON.stringify(json));
  writeFileSync(
    at('package.json'),
    JSON.stringify({ name: 'small', version: '1.0.0', dependencies: { node: 'file:node-package' } }),
  );
  const lock = {
    name: 'small',
    version: '1.0.0',
    lockfileVersion: 3,
    requires: true,
    packages: {
      '': { name: 'small', version: '1.0.0', dependencies: { node: 'file:node-package' } },
      'node_modules/node': {
        version,
        resolved: 'file:node-package',
        hasInstallScript: true,
        bin: { node: 'bin/node' },
      },
    },
  };
  writeFileSync(at('package-lock.json'), JSON.stringify(lock));
}

beforeEach(() => {
  checkout = mkdtempSync(join(tmpdir(), 'tidemark-setup-'));
  cpSync(join(root, 'scripts/setup.mjs'), at('scripts/setup.mjs'));
  // Packed into node_modules, as from a registry; a link would leave the program outside.
  writeFileSync(at('.npmrc'), 'install-links=true\n');
  writePackage('24.0.1', 0);
});
afterEach(() => rmSync(checkout, { recursive: true, force: true }));

type Outcome = { code: number; text: string };
function setup(env: Record<string, string> = {}): Promise<Outcome> {
  return new Promise((done) => {
    const options = { cwd: checkout, env: { ...process.env, ...env } };
    execFile(process.execPath, [at('scripts/setup.mjs'), '--for', 'packages'], options, (error, stdout, stderr) => {
      done({ code: error ? Number(error.code ?? 1) : 0, text: stdout + stderr });
    });
  });
}

describe('npm run setup', () => {
  it('installs once, and only looks when nothing has changed', async () => {
    expect(await setup()).toMatchObject({ code: 0, text: expect.stringContaining('installing npm packages') });
    const startedAt = performance.now();
    expect(await setup()).toEqual({ code: 0, text: '' });
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    expect(installs()).toBe(1);
  });

  it('installs anew when the lock file changes', async () => {
    await setup();
    writePackage('24.0.2', 0);
    expect(await setup()).toMatchObject({ code: 0 });
    expect(installs()).toBe(2);
  });

  it('accepts what npm itself installed from the same lock file', async () => {
    await new Promise((done) => execFile('npm', ['ci', '--ignore-scripts=false'], { cwd: checkout }, done));
    expect(installs()).toBe(1);
    expect(await setup()).toEqual({ code: 0, text: '' });
  });

  it('provides the command tidemark of the checkout to npx, from any folder below it and with its arguments', async () => {
    await setup();
    // The small checkout's "Node" shows what it is asked to run.
    writeFileSync(at('node_modules/node/bin/node'), '#!/bin/sh\nprintf "%s\\n" "$PWD" "$@"\n', { mode: 0o755 });
    mkdirSync(at('below it'));
    const shown = await new Promise<string>((done) => {
      const options = { cwd: at('below it') };
      execFile('npx', ['--no', 'tidemark', 'keys', 'a b'], options, (error, stdout) => done(error?.message ?? stdout));
    });
    expect(shown.trim().split('\n')).toEqual([
      at('below it'),
      '--import',
      at('scripts/typescript.mjs'),
      at('src/cli/main.ts'),
      'keys',
      'a b',
    ]);
  });

  it('installs once when started twice at the same time', async () => {
    writePackage('24.0.1', 2);
    const outcomes = await Promise.all([setup(), setup()]);
    expect(outcomes.map(({ code }) => code)).toEqual([0, 0]);
    expect(outcomes.filter(({ text }) => text.includes('waiting for another setup'))).toHaveLength(1);
    expect(installs()).toBe(1);
  });

  it('waits for what a killed run left behind, then is ready', async () => {
    writePackage('24.0.1', 3);
    const first = spawn(process.execPath, [at('scripts/setup.mjs'), '--for', 'packages'], {
      cwd: checkout,
      stdio: 'ignore',
    });
    while (!existsSync(at('started'))) await sleep(50);
    first.kill('SIGKILL');
    await once(first, 'exit');
    expect(installs()).toBe(0);
    expect(await setup()).toMatchObject({ code: 0, text: expect.stringContaining('waiting for another setup') });
    expect(existsSync(at('node_modules/node/bin/node'))).toBe(true);
    expect(await setup()).toEqual({ code: 0, text: '' });
  });

  it('installs everything also with NODE_ENV=production and ignore-scripts', async () => {
    expect(await setup({ NODE_ENV: 'production', npm_config_ignore_scripts: 'true' })).toMatchObject({ code: 0 });
    expect(installs()).toBe(1);
  });

  it('does not touch the packages under a running Tidemark, and names it', async () => {
    await setup();
    // A program named node inside node_modules, as the real one is; a script would show as the shell.
    mkdirSync(at('node_modules/node/bin/running'));
    copyFileSync('/usr/bin/sleep', at('node_modules/node/bin/running/node'));
    const running = spawn(at('node_modules/node/bin/running/node'), ['600'], { stdio: 'ignore' });
    try {
      await once(running, 'spawn');
      expect(await setup(), 'nothing to install').toEqual({ code: 0, text: '' });
      writePackage('24.0.2', 0);
      expect(await setup()).toMatchObject({ code: 1, text: expect.stringContaining(`stop it first: ${running.pid}`) });
      expect(installs()).toBe(1);
    } finally {
      running.kill('SIGKILL');
      await once(running, 'exit');
    }
    expect(await setup()).toMatchObject({ code: 0 });
    expect(installs()).toBe(2);
  });

  it('says so when npm fails, and is not ready', async () => {
    writeFileSync(at('package-lock.json'), '{}');
    expect(await setup()).toMatchObject({ code: 1, text: expect.stringContaining('npm ci failed with code') });
  });
});
