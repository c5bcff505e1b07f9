import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import type { ComponentDefinition } from '../../src/embedded/component.js';
import type { Supervised } from '../../src/embedded/supervise.js';
import { supervise } from '../../src/embedded/supervise.js';
import { trimLogs } from '../../src/embedded/trim-logs.js';
import { spawnChild } from '../../src/platform/spawn-child.js';
import { until } from '../support/until.js';

const logger = pino({ level: 'silent' });
const timings = {
  checkEveryMs: 50,
  failuresBeforeRestart: 3,
  firstPauseMs: 20,
  longestPauseMs: 80,
  calmAfterMs: 60_000,
};

describe('a supervised component', () => {
  const running: Supervised[] = [];
  afterEach(async () => {
    for (const component of running.splice(0)) await component.kill();
  });

  /** A real process, `sleep`; `fails` says which of its starts fail, `well` whether it answers. */
  function sleeper(options: { fails?: (start: number) => boolean; well?: () => boolean } = {}) {
    const starts: number[] = [];
    const definition: ComponentDefinition = {
      name: 's3',
      start: async () => {
        starts.push(Date.now());
        if (options.fails?.(starts.length)) throw new Error(`start ${starts.length} failed`);
        const child = spawnChild({ command: 'sleep', args: ['600'], env: {}, stdout: 'ignore', label: 'sleep' });
        return {
          pid: child.pid,
          exited: child.exited,
          check: async () => {
            if (options.well?.() === false) throw new Error('unwell');
          },
          stop: async () => void (await child.kill()),
          kill: async () => void (await child.kill('SIGKILL')),
        };
      },
    };
    return { starts, definition };
  }
  const watch = async (definition: ComponentDefinition, onChange?: () => void) => {
    const component = await supervise(definition, logger, onChange, timings);
    running.push(component);
    return component;
  };

  it('whose first start fails is not watched: the caller hears why', async () => {
    const { definition, starts } = sleeper({ fails: () => true });
    await expect(watch(definition)).rejects.toThrow('start 1 failed');
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(starts).toHaveLength(1);
  });

  it('is started again with growing pauses until a start works, and says meanwhile why it is down', async () => {
    const { definition, starts } = sleeper({ fails: (start) => start > 1 && start < 6 });
    let changes = 0;
    const component = await watch(definition, () => {
      changes += 1;
    });
    const first = component.pid!;
    process.kill(first, 'SIGKILL');
    await until(() => component.lastError?.includes('failed'), 'a failed start to be seen');
    expect(component.up).toBe(false);
    await until(() => component.up, 'the start that works');
    expect(component).toMatchObject({ restarts: 1, lastError: null });
    expect(component.pid).not.toBe(first);
    expect(changes).toBe(1);
    const pauses = starts.slice(2).map((at, i) => at - starts[i + 1]!);
    // 40, 80, then never more than the longest (and the machine's own delay).
    expect(pauses[0]).toBeGreaterThanOrEqual(38);
    expect(Math.min(...pauses.slice(1))).toBeGreaterThanOrEqual(78);
  });

  it('that lives but does not answer is killed and started again, after several failures only', async () => {
    let well = true;
    let failed = 0;
    const { definition } = sleeper({
      well: () => {
        if (!well) failed += 1;
        return well;
      },
    });
    const component = await watch(definition);
    const first = component.pid;
    well = false;
    await until(() => component.pid !== first, 'another process');
    expect(failed).toBeGreaterThanOrEqual(timings.failuresBeforeRestart);
    well = true;
  });

  it('stopped while it is down stays down', async () => {
    const { definition, starts } = sleeper({ fails: (start) => start > 1 });
    const component = await watch(definition);
    process.kill(component.pid!, 'SIGKILL');
    await until(() => starts.length > 1, 'a try');
    await component.stop();
    const tries = starts.length;
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(starts).toHaveLength(tries);
    expect(component.up).toBe(false);
  });
});

it('a log that grew too large is put aside while its writer goes on appending', () => {
  const dir = mkdtempSync(join(tmpdir(), 'tm-logs-'));
  try {
    const log = join(dir, 'x.log');
    writeFileSync(log, 'old lines\n');
    chmodSync(log, 0o644);
    trimLogs([log, join(dir, 'none.log')], 5);
    writeFileSync(log, 'new\n', { flag: 'a' });
    trimLogs([log], 5);
    expect(readFileSync(log, 'utf8')).toBe('new\n');
    expect(readFileSync(`${log}.1`, 'utf8')).toBe('old lines\n');
    expect(statSync(`${log}.1`).mode & 0o777).toBe(0o600);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
