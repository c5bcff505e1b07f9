import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { RunInfo } from '../../src/embedded/run-file.js';
import { readRunFile } from '../../src/embedded/run-file.js';
import type { ProcessMark } from '../../src/platform/processes.js';
import { findDescendants, isRunning, markProcess, waitForEnd } from '../../src/platform/processes.js';
import type { Child } from '../../src/platform/spawn-child.js';
import { spawnChild } from '../../src/platform/spawn-child.js';
import { until } from '../support/until.js';

const root = join(import.meta.dirname, '../..');
const home = mkdtempSync(join(tmpdir(), 'tm-up-'));
chmodSync(home, 0o711);

function tidemark(command: string, env: Record<string, string> = {}): Child {
  return spawnChild({
    command: process.execPath,
    args: ['--import', './scripts/typescript.mjs', 'src/cli/main.ts', command],
    cwd: root,
    env: {
      HOME: process.env.HOME ?? '/',
      ...(process.env.XDG_CACHE_HOME ? { XDG_CACHE_HOME: process.env.XDG_CACHE_HOME } : {}),
      ...(process.env.TIDEMARK_ENGINES ? { TIDEMARK_ENGINES: process.env.TIDEMARK_ENGINES } : {}),
      TIDEMARK_HOME: home,
      ...env,
    },
    stdout: 'tail',
    graceMs: 60_000,
    label: `tidemark ${command}`,
  });
}

async function untilReady(up: Child): Promise<RunInfo> {
  let ended = false;
  void up.exited.then(() => {
    ended = true;
  });
  return until(
    async () => {
      if (ended) throw new Error(`tidemark up ended: ${up.stderrTail()}`);
      const run = readRunFile(home);
      if (!run || run.pids.up !== up.pid) return null;
      const response = await fetch(`${run.api}/readyz`).catch(() => null);
      return response?.status === 200 ? run : null;
    },
    'GET /readyz to answer 200',
    150_000,
  );
}

/** Every process below `up`, however it came there. */
const everything = (up: Child): ProcessMark[] => findDescendants(up.pid!);

describe('tidemark up', () => {
  let up: Child;
  afterAll(async () => {
    await up?.kill('SIGKILL');
    rmSync(home, { recursive: true, force: true });
  });

  it('is ready with one command, and says where everything is', async () => {
    up = tidemark('up');
    const run = await untilReady(up);
    expect(statSync(join(home, 'run.json')).mode & 0o777).toBe(0o600);
    expect(Object.keys(run.pids).sort()).toEqual(['database', 's3', 'temporal', 'up', 'worker']);
    expect((await fetch(run.docs)).status).toBe(200);
    // The page of our namespace: the front page shows `default`, which is empty.
    expect(new URL(run.temporalUi!).pathname).toBe('/namespaces/tidemark/workflows');
    expect((await fetch(run.temporalUi!)).status).toBe(200);
    const said = up.stderrTail();
    for (const address of [run.api, run.docs, run.temporalUi!, run.mail!.view, home]) expect(said).toContain(address);
  });

  it('keeps its secrets out of arguments, output and logs', async () => {
    const run = readRunFile(home)!;
    const { adminPassword } = JSON.parse(readFileSync(join(home, 'database/server.json'), 'utf8'));
    const { databasePassword } = JSON.parse(readFileSync(join(home, 'embedded.json'), 'utf8'));
    const key = readFileSync(join(home, 'master.key'), 'utf8').trim();
    const places = [
      up.stderrTail(),
      ...['service.log', 'worker.log'].map((name) => readFileSync(join(home, 'logs', name), 'utf8')),
      ...everything(up).map(({ pid }) => readFileSync(`/proc/${pid}/cmdline`, 'utf8')),
    ];
    for (const secret of [run.s3.secretAccessKey, adminPassword, databasePassword, key]) {
      expect(secret.length).toBeGreaterThan(20);
      for (const place of places) expect(place).not.toContain(secret);
    }
  });

  it('refuses a second one on the same folder with a sentence', async () => {
    const second = tidemark('up');
    const exit = await second.exited;
    expect(exit.code).toBe(1);
    expect(exit.stderr).toContain(`Another Tidemark already runs with the folder ${home}`);
    expect(exit.stderr).not.toMatch(/^\s+at /m);
    expect(readRunFile(home)?.pids.up).toBe(up.pid);
  });

  it('starts a killed worker again', async () => {
    const before = readRunFile(home)!.pids.worker!;
    process.kill(before, 'SIGKILL');
    const run = await until(
      () => {
        const now = readRunFile(home);
        return now && now.pids.worker !== before ? now : null;
      },
      'another worker',
      120_000,
    );
    expect(markProcess(run.pids.worker!)).not.toBeNull();
  });

  it('answers again after its catalog was killed', async () => {
    const { api, pids } = readRunFile(home)!;
    process.kill(pids.database!, 'SIGKILL');
    await until(async () => readRunFile(home)?.pids.database !== pids.database, 'the catalog to be started again');
    await until(async () => (await fetch(`${api}/readyz`)).status === 200, 'GET /readyz to answer 200');
  });

  it('killed with SIGKILL leaves no process, and starts again where it was', async () => {
    const before = readRunFile(home)!;
    const credentials = readFileSync(join(home, 'admin-credentials'), 'utf8');
    const all = everything(up);
    expect(all.length).toBeGreaterThanOrEqual(5);
    process.kill(up.pid!, 'SIGKILL');
    await up.exited;
    expect(await waitForEnd(all, 30_000)).toBe(true);
    up = tidemark('up');
    const after = await untilReady(up);
    expect({ ...after, pids: null }).toEqual({ ...before, pids: null });
    expect(readFileSync(join(home, 'admin-credentials'), 'utf8')).toBe(credentials);
  });

  it('told to stop, ends everything in order and with success', async () => {
    const all = everything(up);
    // Twice at once, as Ctrl-C comes below `npm run`: that is no insisting.
    process.kill(up.pid!, 'SIGINT');
    process.kill(up.pid!, 'SIGTERM');
    const exit = await up.exited;
    expect(exit.code).toBe(0);
    expect(all.some(isRunning)).toBe(false);
    expect(existsSync(join(home, 'run.json'))).toBe(false);
    // The catalog was asked, not killed: a start after a crash would replay its log.
    expect(readFileSync(join(home, 'database/server.log'), 'utf8').trimEnd()).toMatch(/database system is shut down$/);
  });

  it('refuses a PORT that is taken, and leaves nothing running', async () => {
    const taken = await import('node:http').then(({ createServer }) => createServer().listen(0, '127.0.0.1'));
    await until(() => taken.listening, 'the port to be taken');
    const { port } = taken.address() as { port: number };
    up = tidemark('up', { PORT: String(port) });
    const exit = await up.exited;
    taken.close();
    expect(exit.code).toBe(1);
    expect(exit.stderr).toContain(`PORT is ${port}`);
    expect(readRunFile(home)).toBeNull();
  });

  it('interrupted while it starts, undoes what it did', async () => {
    up = tidemark('up');
    await until(() => up.stderrTail().includes('Starting Temporal'), 'the start to be under way');
    const all = everything(up);
    process.kill(up.pid!, 'SIGINT');
    const exit = await up.exited;
    expect(exit.code).toBe(0);
    expect(exit.stderr).toContain('Stopped.');
    expect(all.some(isRunning)).toBe(false);
  });

  it('says every wrong variable in one sentence and starts nothing', async () => {
    const exit = await tidemark('up', { PORT: 'x', LOG_LEVEL: 'loud' }).exited;
    expect(exit.code).toBe(1);
    expect(exit.stderr).toContain('PORT');
    expect(exit.stderr).toContain('LOG_LEVEL');
    expect(exit.stderr).not.toMatch(/^\s+at /m);
  });
});
