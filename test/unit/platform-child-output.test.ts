import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ChildOutput } from '../../src/platform/child-output.js';
import { BATCH_BYTES, openChildOutput } from '../../src/platform/child-output.js';
import { largeWrites } from '../../src/platform/large-writes.js';
import { spawnChild } from '../../src/platform/spawn-child.js';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tm-child-output-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const run = (stdout: ChildOutput, script: string) =>
  spawnChild({ command: 'bash', args: ['-c', script], env: {}, stdout, label: 'bash' });

/** 40 MiB and a bit, no two MiB of which are alike. */
const LINES = 'seq -f "%012.0f some text that a row may hold" 1 1000000';

describe('the output of a child in buffers that are used again', () => {
  it('holds every byte in order, also for a reader that is slower than the child and gives all buffers back', async () => {
    const expected = createHash('sha256');
    for (let i = 1; i <= 1_000_000; i += 1)
      expected.update(`${String(i).padStart(12, '0')} some text that a row may hold\n`);
    const output = await openChildOutput(dir);
    const child = run(output, LINES);
    const found = createHash('sha256');
    const buffers = new Set<ArrayBufferLike>();
    let chunks = 0;
    for await (const chunk of output as AsyncIterable<Buffer>) {
      if (chunks % 4 === 0) await delay(20);
      found.update(chunk);
      // What a busy machine hands on in between, after a silence of the child, is a copy.
      if (chunk.length === BATCH_BYTES) buffers.add(chunk.buffer);
      output.giveBack(chunk);
      chunks += 1;
    }
    expect(found.digest('hex')).toBe(expected.digest('hex'));
    expect((await child.exited).code).toBe(0);
    expect(chunks).toBeGreaterThan(8);
    expect(buffers.size).toBeLessThan(6);
  });

  it('does not touch a buffer that was not given back', async () => {
    const output = await openChildOutput(dir);
    run(output, LINES);
    const kept: { chunk: Buffer; hash: string }[] = [];
    const hash = (chunk: Buffer) => createHash('sha256').update(chunk).digest('hex');
    for await (const chunk of output as AsyncIterable<Buffer>) kept.push({ chunk, hash: hash(chunk) });
    for (const { chunk, hash: before } of kept) expect(hash(chunk)).toBe(before);
  });

  it('hands on what a child wrote before it fell silent, and what comes after', async () => {
    const output = await openChildOutput(dir);
    run(output, 'printf one; sleep 0.3; printf two; sleep 0.3; printf three');
    const chunks: string[] = [];
    for await (const chunk of output as AsyncIterable<Buffer>) chunks.push(chunk.toString());
    expect(chunks).toEqual(['one', 'two', 'three']);
  });

  it('ends with a child that could not be started', async () => {
    const output = await openChildOutput(dir);
    const child = spawnChild({ command: '/nonexistent/program', args: [], env: {}, stdout: output, label: 'missing' });
    expect(await output.toArray()).toEqual([]);
    expect((await child.exited).code).not.toBe(0);
  });

  it('ends the child when the reader goes away', async () => {
    const output = await openChildOutput(dir);
    const child = run(output, 'exec yes');
    for await (const chunk of output as AsyncIterable<Buffer>) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
    expect((await child.exited).signal ?? (await child.exited).code).not.toBe(0);
  });

  it('works below a folder whose path is too long for a socket and leaves nothing there', async () => {
    const deep = mkdtempSync(join(mkdtempSync(join(dir, 'd'.repeat(100))), 'e'.repeat(100)));
    const output = await openChildOutput(deep);
    run(output, 'printf done');
    expect(Buffer.concat(await output.toArray()).toString()).toBe('done');
    expect(readdirSync(deep)).toEqual([]);
  });
});

describe('large writes', () => {
  /** What a program wrote, and with how many writes. */
  const writesOf = async (launcher: readonly string[]) => {
    const output = await openChildOutput(dir, launcher);
    // The shell's own count takes in that of a program it has waited for.
    const child = run(output, `${LINES}; grep syscw /proc/$$/io >&2`);
    const hash = createHash('sha256');
    for await (const chunk of output as AsyncIterable<Buffer>) {
      hash.update(chunk);
      output.giveBack(chunk);
    }
    const exit = await child.exited;
    expect(exit.code).toBe(0);
    return { hash: hash.digest('hex'), writes: Number(/syscw: (\d+)/.exec(exit.stderr)?.[1]) };
  };

  it('makes a program that writes a few KiB at a time write the same bytes in pieces of 256 KiB', async () => {
    const launcher = await largeWrites('bash');
    expect(launcher).not.toEqual([]);
    const large = await writesOf(launcher);
    const small = await writesOf([]);
    expect(large.hash).toBe(small.hash);
    expect(small.writes).toBeGreaterThan(5_000);
    expect(large.writes).toBeLessThan(small.writes / 30);
  });

  it('keeps the exit code of the program, and ends it when the reader goes away', async () => {
    const launcher = await largeWrites('bash');
    const failing = await openChildOutput(dir, launcher);
    const child = run(failing, 'printf some; exit 3');
    expect(Buffer.concat(await failing.toArray()).toString()).toBe('some');
    expect((await child.exited).code).toBe(3);
    const endless = await openChildOutput(dir, launcher);
    const writer = run(endless, 'exec yes');
    for await (const _ of endless) break;
    expect((await writer.exited).signal ?? (await writer.exited).code).not.toBe(0);
  });

  it('is left alone for a program that does not start with a preloaded library, or complains about it', async () => {
    const script = (name: string, text: string) => {
      const path = join(dir, name);
      writeFileSync(path, `#!/bin/sh\n${text}\necho 1.0\n`, { mode: 0o755 });
      return path;
    };
    expect(await largeWrites(script('works', ':'))).not.toEqual([]);
    expect(await largeWrites(script('refuses', '[ -z "$LD_PRELOAD" ] || exit 127'))).toEqual([]);
    expect(await largeWrites(script('complains', '[ -z "$LD_PRELOAD" ] || echo "ERROR: ld.so: ignored" >&2'))).toEqual(
      [],
    );
    expect(await largeWrites('/nonexistent/program')).toEqual([]);
  });
});
