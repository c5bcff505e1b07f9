import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { configVariables } from '../../src/config.js';

const root = resolve(import.meta.dirname, '../..');
const args = ['--import', join(root, 'scripts/typescript.mjs'), join(root, 'src/cli/main.ts'), 'doctor'];
type Answer = {
  ready: boolean;
  findings: { area: string; name: string; state: string; detail: string; remedy: string | null }[];
  environment: { name: string; value?: string; set: boolean }[];
};

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidemark-doctor-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function doctor(env: Record<string, string>, ...more: string[]): Promise<{ code: number; stdout: string }> {
  const clean = { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? folder, TIDEMARK_HOME: join(folder, 'home') };
  return new Promise((done) => {
    execFile(process.execPath, [...args, ...more], { cwd: root, env: { ...clean, ...env } }, (error, stdout) =>
      done({ code: error ? Number(error.code) : 0, stdout }),
    );
  });
}
async function answer(env: Record<string, string>): Promise<Answer & { code: number }> {
  const { code, stdout } = await doctor(env, '--json');
  return { ...(JSON.parse(stdout) as Answer), code };
}

describe('tidemark doctor', () => {
  it('names every engine and tool that is missing, and how to get it', async () => {
    // An empty folder in place of the cache; root without a cache of its own would look into the one shared by the machine.
    const { code, ready, findings } = await answer({ HOME: folder, XDG_CACHE_HOME: folder, TIDEMARK_ENGINES: folder });
    const engines = findings.filter(({ area, name }) => area === 'engines' && name !== 'catalog');
    expect(engines.map(({ state }) => state)).toEqual(engines.map(() => 'wanting'));
    for (const { remedy } of engines) expect(remedy).toContain('npm run setup');
    expect(findings.find(({ name }) => name === 'catalog')).toMatchObject({
      state: 'missing',
      remedy: expect.stringContaining('DATABASE_URL'),
    });
    expect({ code, ready }).toEqual({ code: 1, ready: false });
  });

  it('lists every environment variable and shows no secret', async () => {
    const { stdout } = await doctor({ TIDEMARK_MASTER_KEY: 'secret-master-key', LOG_LEVEL: 'warn' });
    for (const { name } of configVariables) expect(stdout).toContain(`  ${name} `);
    expect(stdout).not.toContain('secret-master-key');
    expect(stdout).toContain('set: warn');
  });

  it('says which variable is wrong instead of failing', async () => {
    const { code, findings } = await answer({ PORT: 'many' });
    expect(findings.find(({ name }) => name === 'environment')).toMatchObject({
      state: 'missing',
      detail: expect.stringContaining('PORT'),
    });
    expect(code).toBe(1);
  });

  it('tells a component that answers from one that does not', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((done) => server.once('listening', done));
    const { port } = server.address() as { port: number };
    const there = await answer({ SMTP_URL: `smtp://127.0.0.1:${port}` });
    server.close();
    const gone = await answer({ SMTP_URL: `smtp://127.0.0.1:${port}` });
    const state = ({ findings }: Answer) => findings.find(({ name }) => name === 'SMTP_URL')?.state;
    expect([state(there), state(gone)]).toEqual(['ok', 'missing']);
  });
});
