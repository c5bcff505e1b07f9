import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EngineServer, EngineServerOptions } from '../../src/embedded/engine-server.js';
import { startEngineServer } from '../../src/embedded/engine-server.js';
import { isRunning, markProcess } from '../../src/platform/processes.js';
import { serverUser } from '../../src/platform/run-as.js';
import { spawnChild } from '../../src/platform/spawn-child.js';

describe('an engine server', () => {
  let dir: string;
  const started: EngineServer[] = [];
  const start = async (options: Partial<EngineServerOptions> = {}): Promise<EngineServer> => {
    const server = await startEngineServer({
      product: 'pg18',
      dataDir: join(dir, 'server'),
      durability: 'fast',
      ...options,
    });
    started.push(server);
    return server;
  };
  const state = () => JSON.parse(readFileSync(join(dir, 'server/server.json'), 'utf8'));

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'tm-server-'));
    chmodSync(dir, 0o711);
  });
  afterEach(async () => {
    for (const server of started.splice(0)) await server.kill();
    rmSync(dir, { recursive: true, force: true });
  });

  const query = async (server: EngineServer, sql: string, password = server.adminPassword) => {
    const { host, port, adminUser: user } = server;
    const client = new pg.Client({ host, port, user, password, database: 'postgres' });
    client.on('error', () => {});
    await client.connect();
    try {
      return (await client.query(sql)).rows;
    } finally {
      await client.end();
    }
  };

  it('that is not installed says how to get it', async () => {
    await expect(start({ install: { TIDEMARK_ENGINES: dir } })).rejects.toMatchObject({
      code: 'tools_missing',
      message: expect.stringContaining('PostgreSQL 18'),
    });
  });

  it('lets nobody in without the password, and keeps that in a file of ours alone', async () => {
    const server = await start();
    await expect(query(server, 'SELECT 1', 'guess')).rejects.toThrow(/password authentication failed/);
    expect(statSync(join(dir, 'server/server.json')).mode & 0o077).toBe(0);
    const user = serverUser();
    if (user) expect(statSync(server.engineDataDir).uid).toBe(user.uid);
  });

  it('is not started twice on one folder', async () => {
    const server = await start();
    await expect(start()).rejects.toMatchObject({ code: 'already_running' });
    expect(await query(server, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
  });

  it('left behind by a killed owner is ended before its data is touched', async () => {
    const server = await start();
    await query(server, 'CREATE TABLE kept AS SELECT 7 AS n');
    const old = markProcess(server.pid!)!;
    // As if the owner had been another process that is gone.
    writeFileSync(
      join(dir, 'server/server.json'),
      JSON.stringify({ ...state(), owner: { pid: 2 ** 22 - 1, start: 'gone' } }),
    );
    const next = await start();
    expect(isRunning(old)).toBe(false);
    expect(next.port).toBe(server.port);
    expect(await query(next, 'SELECT n FROM kept')).toEqual([{ n: 7 }]);
  });

  it('starts although its stale postmaster.pid names a process that lives', async () => {
    const server = await start();
    await server.kill();
    const user = serverUser();
    const stranger = spawnChild({
      command: 'sleep',
      args: ['600'],
      env: {},
      stdout: 'ignore',
      label: 'sleep',
      ...(user ? { user } : {}),
    });
    const file = join(server.engineDataDir, 'postmaster.pid');
    writeFileSync(file, readFileSync(file, 'utf8').replace(/^\d+/, String(stranger.pid)));
    await start();
    expect(isRunning(markProcess(stranger.pid!)!)).toBe(true);
    await stranger.kill();
  });

  it('takes another port when its own was taken meanwhile, but never another than demanded', async () => {
    const server = await start();
    const { port } = server;
    await server.stop();
    const squatter = createServer().listen(port, '127.0.0.1');
    try {
      expect((await start()).port).not.toBe(port);
      await started.at(-1)?.stop();
      await expect(start({ port })).rejects.toMatchObject({
        code: 'component_failed',
        message: expect.stringMatching(/in use/),
      });
    } finally {
      squatter.close();
    }
  });

  it('begins anew over what an interrupted first start left', async () => {
    mkdirSync(join(dir, 'server/data.new/base'), { recursive: true });
    writeFileSync(join(dir, 'server/data.new/PG_VERSION'), '18\n');
    const server = await start();
    expect(await query(server, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
    expect(existsSync(join(dir, 'server/data.new'))).toBe(false);
  });

  it("refuses another product's folder", async () => {
    await (await start()).stop();
    await expect(start({ product: 'pg17' })).rejects.toThrow(/belongs to pg18, not to PostgreSQL 17/);
  });

  it('that cannot start says why, from its own log', async () => {
    await expect(start({ settings: { max_connections: 'many' } })).rejects.toMatchObject({
      code: 'component_failed',
      message: expect.stringContaining('max_connections'),
    });
  });

  it('leaves no socket folder when it is stopped or killed', async () => {
    const server = await start();
    const { socketDir } = server;
    expect(existsSync(socketDir)).toBe(true);
    await server.kill();
    expect(existsSync(socketDir)).toBe(false);
  });
});
