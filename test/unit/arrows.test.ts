import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const run = promisify(execFile);

/** One file per place that rules can tell apart. Written here a second time on purpose: the rules are tested against this table. */
const places = {
  domain: 'src/domain/a.ts',
  platform: 'src/platform/a.ts',
  config: 'src/config.ts',
  engines: 'src/engines/a.ts',
  storage: 'src/storage/a.ts',
  keys: 'src/keys/a.ts',
  catalog: 'src/catalog/a.ts',
  notify: 'src/notify/a.ts',
  recovery: 'src/recovery/a.ts',
  workflows: 'src/workflows/a.ts',
  'workflow messages': 'src/workflows/messages.ts',
  activities: 'src/activities/a.ts',
  usecases: 'src/usecases/a.ts',
  api: 'src/api/a.ts',
  workers: 'src/workers/a.ts',
  embedded: 'src/embedded/a.ts',
  'tidemark up': 'src/cli/up.ts',
  'tidemark extract': 'src/cli/extract.ts',
  'tidemark import': 'src/cli/import.ts',
  'another command': 'src/cli/list.ts',
} as const;
type Place = keyof typeof places;
const names = Object.keys(places) as Place[];

const outside: readonly Place[] = ['config', 'platform', 'domain'];
const allowed: Record<Place, readonly Place[]> = {
  domain: [],
  platform: ['domain', 'config'],
  config: ['domain', 'platform'],
  engines: ['domain', 'platform'],
  storage: ['domain', 'platform', 'keys'],
  keys: ['domain', 'platform'],
  catalog: ['domain', 'platform'],
  notify: ['domain', 'platform'],
  recovery: ['domain', 'platform', 'engines', 'storage', 'keys'],
  workflows: ['domain', 'workflow messages'],
  'workflow messages': ['domain', 'workflows'],
  activities: [
    'domain',
    'platform',
    'engines',
    'storage',
    'recovery',
    'catalog',
    'keys',
    'notify',
    'workflow messages',
  ],
  usecases: ['domain', 'platform', 'catalog', 'keys', 'storage', 'workflow messages'],
  api: [...outside, 'usecases'],
  workers: [...outside, 'activities', 'workflows', 'workflow messages', 'catalog', 'keys'],
  embedded: [...outside, 'workflow messages'],
  'tidemark up': [
    ...outside,
    'api',
    'workers',
    'embedded',
    'usecases',
    'catalog',
    'keys',
    'another command',
    'tidemark extract',
    'tidemark import',
  ],
  'tidemark extract': [
    ...outside,
    'storage',
    'keys',
    'engines',
    'recovery',
    'another command',
    'tidemark up',
    'tidemark import',
  ],
  'tidemark import': [
    ...outside,
    'storage',
    'keys',
    'engines',
    'recovery',
    'usecases',
    'another command',
    'tidemark up',
    'tidemark extract',
  ],
  'another command': [...outside, 'tidemark up', 'tidemark extract', 'tidemark import'],
};

/** Libraries a layer must not know (false), and a few it may (true), so that a rule that reports everything is seen. */
const libraries: readonly (readonly [Place, string, boolean])[] = [
  ['engines', '@temporalio/activity', false],
  ['engines', 'express', false],
  ['engines', '@prisma/client', false],
  ['storage', '@temporalio/client', false],
  ['storage', 'express', false],
  ['storage', '@prisma/adapter-pg', false],
  ['usecases', 'express', false],
  ['usecases', '@prisma/client', false],
  ['activities', '@prisma/client', false],
  ['workflows', '@temporalio/client', false],
  ['workflows', '@temporalio/activity', false],
  ['workflows', 'pg', false],
  ['workflows', 'node:crypto', false],
  ['domain', 'node:fs', false],
  ['domain', '@temporalio/workflow', false],
  ['engines', 'node:child_process', false],
  ['activities', 'node:child_process', false],
  ['storage', 'vitest', false],
  ['api', 'ajv-formats', false],
  ['workflows', '@temporalio/workflow', true],
  ['activities', '@temporalio/activity', true],
  ['usecases', '@temporalio/client', true],
  ['catalog', '@prisma/client', true],
  ['api', 'express', true],
  ['domain', 'zod', true],
  ['engines', 'pg', true],
  ['platform', 'node:child_process', true],
];

type Report = { summary: { violations: { from: string; to: string; rule: { name: string } }[] } };

let folder: string;
/** `from → to` of every reported import. */
let reported: Set<string>;

/**
 * Each import stands in a file of its own beside the layer's file, once as a value and once as a type. Places that are one certain file
 * (a command, config.ts) hold all their imports themselves, as values.
 */
function importer(place: Place, label: string): string {
  const path = places[place];
  return place === 'config' || path.includes('/cli/') || place === 'workflow messages'
    ? path
    : join(dirname(path), `${label.replaceAll(/[^a-z]+/gi, '-')}.ts`);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-arrows-'));
  const files = new Map<string, string>();
  const add = (path: string, line: string) => files.set(path, `${files.get(path) ?? ''}${line}\n`);
  for (const name of names) add(places[name], `export const a = 1;\nexport type A = 1;`);
  const up = (path: string) => '../'.repeat(path.split('/').length - 1);
  for (const from of names) {
    for (const to of names) {
      if (from === to) continue;
      const specifier = (path: string) => `${up(path)}${places[to].replace(/\.ts$/, '.js')}`;
      const value = importer(from, `value-${to}`);
      const type = importer(from, `type-${to}`);
      const tag = `${from}_${to}`.replaceAll(/[^a-z]+/gi, '_');
      add(value, `import { a as v_${tag} } from '${specifier(value)}';\nexport const x_${tag} = v_${tag};`);
      if (type !== value) add(type, `import type { A } from '${specifier(type)}';\nexport type B = A;`);
    }
  }
  for (const [from, library] of libraries) {
    add(importer(from, `library-${library}`), `import * as l from '${library}';\nexport const y = l;`);
  }
  for (const [path, text] of files) {
    await mkdir(join(folder, dirname(path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
  for (const name of ['node_modules', 'package.json']) await symlink(join(root, name), join(folder, name));
  const { stdout } = await run(
    join(root, 'node_modules/.bin/depcruise'),
    ['--config', join(root, '.dependency-cruiser.cjs'), '--output-type', 'json', 'src'],
    { cwd: folder, maxBuffer: 1 << 28 },
  ).catch((error: { stdout: string; stderr: string }) => {
    if (!error.stdout) throw new Error(error.stderr);
    return error;
  });
  reported = new Set((JSON.parse(stdout) as Report).summary.violations.map(({ from, to }) => `${from} → ${to}`));
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe('the import matrix', () => {
  for (const from of names) {
    for (const to of names) {
      if (from === to) continue;
      const may = allowed[from].includes(to);
      it(`${may ? 'lets' : 'does not let'} ${from} import ${to}`, () => {
        expect(reported.has(`${importer(from, `value-${to}`)} → ${places[to]}`), 'as a value').toBe(!may);
        expect(reported.has(`${importer(from, `type-${to}`)} → ${places[to]}`), 'as a type').toBe(!may);
      });
    }
  }

  it.each(libraries)('%s, library %s: allowed %s', (from, library, may) => {
    const file = importer(from, `library-${library}`);
    const hit = [...reported].some((line) => line.startsWith(`${file} → `));
    expect(hit).toBe(!may);
  });
});

describe('the environment', () => {
  it('is read by src/config.ts and by nothing else in src', async () => {
    const entries = await readdir(join(root, 'src'), { recursive: true, withFileTypes: true });
    const readers: string[] = [];
    for (const entry of entries) {
      const path = join(entry.parentPath, entry.name);
      if (!entry.isFile() || !path.endsWith('.ts') || path.includes('/generated/')) continue;
      const code = (await readFile(path, 'utf8')).replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
      if (
        /process\s*(\.|\?\.|\[\s*['"])\s*env\b|\{[^}]*\benv\b[^}]*\}\s*(=\s*process\b|from\s+['"](node:)?process['"])/.test(
          code,
        )
      )
        readers.push(path);
    }
    expect(readers).toEqual([join(root, 'src/config.ts')]);
  });
});
