import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { runChild } from '../../src/platform/run-child.js';
import { STDERR_TAIL_BYTES, spawnChild } from '../../src/platform/spawn-child.js';
import { until } from '../support/until.js';

const dirs: string[] = [];
function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'tm-spawn-'));
  dirs.push(dir);
  return dir;
}
afterEach(() => {
  for (const dir of dirs.splice(0)) rmSync(dir, { recursive: true, force: true });
});

function alive(pid: number): boolean {
  try {
    // A zombie has ended: it only waits to be reaped.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

const sh = (script: string, rest: Partial<Parameters<typeof spawnChild>[0]> = {}) =>
  spawnChild({ command: 'sh', args: ['-c', script], env: {}, label: 'a shell', ...rest });

describe('a child process', () => {
  it('sees the allow-listed environment and what it was given, nothing else', async () => {
    process.env.TM_TEST_SECRET = 'do not inherit me';
    process.env.AWS_SECRET_ACCESS_KEY = 'nor me';
    try {
      const { stdout } = await runChild({ command: 'env', args: [], env: { PGPASSWORD: 'p' }, label: 'env' });
      const names = stdout.split('\n').flatMap((line) => (line.includes('=') ? [line.split('=')[0]] : []));
      expect(names).toContain('PATH');
      expect(names).toContain('PGPASSWORD');
      expect(stdout).toContain('HOME=/nonexistent');
      expect(names.filter((n) => !/^(PATH|LANG|LANGUAGE|LC_[A-Z]+|TZ|HOME|PGPASSWORD)$/.test(n ?? ''))).toEqual([]);
    } finally {
      delete process.env.TM_TEST_SECRET;
      delete process.env.AWS_SECRET_ACCESS_KEY;
    }
  });

  const users = process.getuid?.() === 0 ? [undefined, { uid: 65534, gid: 65534 }] : [undefined];
  it.each(users)('dies when its parent is killed with SIGKILL (as user %j)', async (user) => {
    const dir = tempDir();
    const script = join(dir, 'parent.mts');
    writeFileSync(
      script,
      `import { spawnChild } from ${JSON.stringify(join(import.meta.dirname, '../../src/platform/spawn-child.ts'))};
       import { renameSync, writeFileSync } from 'node:fs';
       const child = spawnChild({ command: 'sleep', args: ['600'], env: {}, stdout: 'ignore', label: 'sleep', user: ${JSON.stringify(user)} });
       writeFileSync(${JSON.stringify(join(dir, 'pid.tmp'))}, String(child.pid));
       renameSync(${JSON.stringify(join(dir, 'pid.tmp'))}, ${JSON.stringify(join(dir, 'pid'))});
       setInterval(() => {}, 1000);`,
    );
    const parent = spawnChild({
      command: process.execPath,
      args: ['--import', 'tsx', script],
      env: {},
      cwd: join(import.meta.dirname, '../..'),
      stdout: 'ignore',
      label: 'a parent',
    });
    await until(() => existsSync(join(dir, 'pid')), `the grandchild to start: ${parent.stderrTail()}`);
    const grandchild = Number(readFileSync(join(dir, 'pid'), 'utf8'));
    // Before that it is `setpriv`, which may not have asked for the signal yet.
    await until(() => readFileSync(`/proc/${grandchild}/comm`, 'utf8') === 'sleep\n', 'the grandchild to be itself');
    expect(alive(grandchild)).toBe(true);
    process.kill(parent.pid!, 'SIGKILL');
    await parent.exited;
    await until(() => !alive(grandchild), 'the grandchild to die');
  });

  // Only root can change the user.
  it.runIf(process.getuid?.() === 0)('runs as another user, without the groups of the service', async () => {
    const child = sh('id -u; id -G; exec sleep 600', { user: { uid: 65534, gid: 65534 } });
    let out = '';
    child.stdout?.on('data', (chunk) => (out += chunk));
    await until(() => out.split('\n').length > 2, 'id');
    expect(out).toBe('65534\n65534\n');
    expect(readFileSync(`/proc/${child.pid}/status`, 'utf8')).toMatch(/^Uid:\s+65534\s+65534/m);
    await child.kill();
  });

  it('has no terminal and its own process group', async () => {
    const { stdout, code } = await runChild({
      command: 'sh',
      args: ['-c', 'ps -o pgid= -o pid= -p $$; (exec </dev/tty) 2>/dev/null && echo tty; true'],
      env: {},
      label: 'ps',
    });
    expect(code).toBe(0);
    const [group, pid] = stdout.trim().split(/\s+/);
    expect(group).toBe(pid);
    expect(stdout).not.toContain('tty');
  });

  it('is stopped by an abort', async () => {
    const abort = new AbortController();
    const child = sh('sleep 600', { signal: abort.signal });
    abort.abort();
    const exit = await child.exited;
    expect(exit.stopped).toBe(true);
    expect(exit.signal ?? exit.code).not.toBe(0);
    expect(alive(child.pid!)).toBe(false);
  });

  it('is killed after the grace when it ignores the first signal, with everything in its group', async () => {
    const child = sh('trap "" TERM; sleep 600 & echo $!; wait; wait', { graceMs: 300 });
    let out = '';
    child.stdout?.on('data', (chunk) => (out += chunk));
    await until(() => out.includes('\n'), 'the trap');
    const started = Date.now();
    const exit = await child.kill();
    expect(exit.signal).toBe('SIGKILL');
    expect(Date.now() - started).toBeGreaterThanOrEqual(290);
    const grandchild = Number(out);
    await until(() => !alive(grandchild), 'its group to die');
  });

  it('aborted before the start does not stay', async () => {
    const abort = new AbortController();
    abort.abort();
    const exit = await sh('sleep 600', { signal: abort.signal }).exited;
    expect(exit.stopped).toBe(true);
  });

  it('keeps the end of a long stderr, bounded', async () => {
    const child = sh('seq 1 200000 >&2; echo the reason >&2; exit 3', { stdout: 'ignore' });
    const exit = await child.exited;
    expect(exit.code).toBe(3);
    expect(exit.stderr.length).toBeLessThanOrEqual(STDERR_TAIL_BYTES);
    expect(exit.stderr.endsWith('200000\nthe reason\n')).toBe(true);
  });

  it('never shows a secret in stderr, also not encoded, cut, or in a URL', async () => {
    const secret = 'pä ss/"word"';
    const child = spawnChild({
      command: 'sh',
      args: ['-c', 'for i in $(seq 1 20000); do echo "$S"; done >&2; printf "%s\\n" "$A" "$B" "$C" >&2'],
      env: {
        S: secret,
        A: encodeURIComponent(secret),
        B: Buffer.from(secret).toString('base64'),
        C: 'postgres://u:other@h/db',
      },
      stdout: 'ignore',
      label: 'a chatty tool',
      redact: [secret],
    });
    const { stderr } = await child.exited;
    expect(stderr).not.toContain(secret);
    expect(stderr).not.toContain('word');
    expect(stderr).not.toContain(encodeURIComponent(secret));
    expect(stderr).not.toContain(Buffer.from(secret).toString('base64').slice(0, 12));
    expect(stderr).not.toContain('other');
    expect(stderr).toContain('postgres://u:[hidden]@h/db');
  });

  it('that does not exist is an exit with the reason, not an exception', async () => {
    const exit = await spawnChild({ command: '/no/such/tool', args: [], env: {}, label: 'a missing tool' }).exited;
    expect(exit.code).toBe(127);
    expect(exit.stderr).toContain('/no/such/tool');
  });

  it('settles although nobody reads its output', async () => {
    const child = sh('head -c 10000000 /dev/zero', {});
    await new Promise((resolve) => setTimeout(resolve, 200));
    const exit = await child.kill('SIGKILL');
    expect(exit.signal).toBe('SIGKILL');
  });

  it('writes both outputs to a log file that others cannot read, and reports the end of it', async () => {
    const log = join(tempDir(), 'server.log');
    writeFileSync(log, 'earlier run\n', { mode: 0o600 });
    const exit = await sh('echo out; echo err >&2; exit 4', { logFile: log }).exited;
    expect(exit.stderr).toBe('out\nerr\n');
    expect(readFileSync(log, 'utf8')).toBe('earlier run\nout\nerr\n');
    expect(execFileSync('stat', ['-c', '%a', log], { encoding: 'utf8' }).trim()).toBe('600');
  });
});

describe('runChild', () => {
  it('feeds the input and returns the output', async () => {
    const result = await runChild({ command: 'tr', args: ['a-z', 'A-Z'], env: {}, input: 'hello', label: 'tr' });
    expect(result).toMatchObject({ code: 0, stdout: 'HELLO', stoppedBecause: null });
  });

  it('stops a child that says too much, or takes too long', async () => {
    const flood = await runChild({ command: 'yes', args: [], env: {}, maxStdoutBytes: 100_000, label: 'yes' });
    expect(flood.stoppedBecause).toBe('too_much_output');
    const slow = await runChild({ command: 'sleep', args: ['600'], env: {}, timeoutMs: 100, label: 'sleep' });
    expect(slow.stoppedBecause).toBe('timeout');
  });

  it('survives a child that does not read its input', async () => {
    const result = await runChild({ command: 'true', args: [], env: {}, input: 'x'.repeat(5_000_000), label: 'true' });
    expect(result.code).toBe(0);
  });
});
