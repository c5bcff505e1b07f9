import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config.js';
import { toolPath } from '../../src/platform/installed.js';
import { findFreePort } from '../../src/platform/ports.js';
import type { Child } from '../../src/platform/spawn-child.js';
import { spawnChild } from '../../src/platform/spawn-child.js';
import { uniqueName, useEngine } from '../support/engine-servers.js';
import { until } from '../support/until.js';

const metadata = useEngine('pg18');
const home = mkdtempSync(join(tmpdir(), 'tm-serve-'));
const children: Child[] = [];
let temporal: TestWorkflowEnvironment;
let env: Record<string, string>;
let base: string;

function tidemark(args: string[], more: Record<string, string> = {}): { child: Child; output(): string } {
  const lines: string[] = [];
  const child = spawnChild({
    command: process.execPath,
    args: ['--import', 'tsx', 'src/cli/main.ts', ...args],
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    env: { ...env, ...more },
    stdout: 'tail',
    label: `tidemark ${args.join(' ')}`,
    onLine: (line) => lines.push(line),
  });
  children.push(child);
  return { child, output: () => `${lines.join('\n')}\n${child.stderrTail()}` };
}

/** Waits for `probe`, and says what the process said when it ended instead. */
const awaitRunning = (process: ReturnType<typeof tidemark>, probe: () => Promise<boolean>, what: string) => {
  let ended = false;
  void process.child.exited.then(() => {
    ended = true;
  });
  return until(
    () => {
      if (ended) throw new Error(`it ended while waiting for ${what}:\n${process.output()}`);
      return probe();
    },
    what,
    60_000,
  );
};

const get = (path: string, token?: string) =>
  fetch(`${base}${path}`, { headers: token ? { authorization: `Bearer ${token}` } : {} });
const answers = (path: string) =>
  get(path).then(
    () => true,
    () => false,
  );
const credentials = () => JSON.parse(readFileSync(join(home, 'admin-credentials'), 'utf8'));

beforeAll(async () => {
  const name = await metadata.createDatabase({ name: uniqueName('serve') });
  const path = toolPath('temporal', loadConfig().install);
  if (path === null) throw new Error('the Temporal server is not installed: run `npm run setup`');
  temporal = await TestWorkflowEnvironment.createLocal({ server: { executable: { type: 'existing-path', path } } });
  const port = await findFreePort();
  base = `http://127.0.0.1:${port}`;
  const password = encodeURIComponent(metadata.adminPassword);
  env = {
    HOME: home,
    TIDEMARK_HOME: home,
    PORT: String(port),
    DATABASE_URL: `postgresql://${metadata.adminUser}:${password}@${metadata.host}:${metadata.port}/${name}`,
    TEMPORAL_ADDRESS: temporal.address,
    // Not there yet: `serve` makes it where that is allowed.
    TEMPORAL_NAMESPACE: 'tidemark',
  };
});

afterAll(async () => {
  for (const child of children) await child.kill('SIGKILL');
  await temporal.teardown();
  rmSync(home, { recursive: true, force: true });
});

describe('tidemark serve', () => {
  it('comes up on an empty catalog, makes the first admin, is ready with a worker, and ends in order', async () => {
    const serve = tidemark(['serve']);
    await awaitRunning(serve, () => answers('/healthz'), 'the API to answer');
    // Two lines, which may arrive apart.
    const notices = ['admin-credentials', join(home, 'master.key')];
    await until(() => notices.every((text) => serve.output().includes(text)), 'the paths of what to keep', 30_000);
    expect(statSync(join(home, 'admin-credentials')).mode & 0o777).toBe(0o600);
    const { email, password, token } = credentials();
    expect(email).toBe('admin@localhost');
    const me = await get('/v1/me', token);
    expect([me.status, await me.json()]).toEqual([200, expect.objectContaining({ email, role: 'admin' })]);
    expect((await get('/readyz')).status).toBe(503);

    const worker = tidemark(['worker', '--queues', 'control,data']);
    await awaitRunning(worker, async () => (await get('/readyz')).status === 200, 'readiness');
    await worker.child.kill();

    const reset = tidemark(['admin', 'reset']);
    expect((await reset.child.exited).code).toBe(0);
    expect((await get('/v1/me', token)).status).toBe(401);
    const renewed = credentials();
    expect((await get('/v1/me', renewed.token)).status).toBe(200);

    expect((await serve.child.kill('SIGTERM')).code).toBe(0);
    const said = serve.output() + reset.output() + worker.output();
    const master = readFileSync(join(home, 'master.key'), 'utf8').trim();
    for (const secret of [password, token, renewed.password, renewed.token, master, metadata.adminPassword]) {
      expect(said).not.toContain(secret);
    }
  });

  it('starts again with everything kept, and refuses a foreign or a missing master key with a sentence', async () => {
    const again = tidemark(['serve']);
    await awaitRunning(again, () => answers('/healthz'), 'the API to answer');
    expect((await get('/v1/me', credentials().token)).status).toBe(200);
    expect((await again.child.kill('SIGTERM')).code).toBe(0);

    const foreign = tidemark(['serve'], { TIDEMARK_MASTER_KEY: Buffer.alloc(32, 7).toString('base64') });
    expect((await foreign.child.exited).code).toBe(1);
    expect(foreign.output()).toContain('The master key is not the one this installation was made with');

    const elsewhere = mkdtempSync(join(tmpdir(), 'tm-serve-'));
    const missing = tidemark(['serve'], { TIDEMARK_HOME: elsewhere });
    expect((await missing.child.exited).code).toBe(1);
    expect(missing.output()).toContain('master.key is missing');
    rmSync(elsewhere, { recursive: true });
  });
});
