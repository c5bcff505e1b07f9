import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { configVariables } from '../../src/config.js';
import { workerEnvironment, workerNodeFlags } from '../../src/platform/worker-memory.js';
import { imageEntrypoint, readComposeFile } from '../support/compose-file.js';

const root = resolve(import.meta.dirname, '../..');
const read = (path: string) => readFileSync(resolve(root, path), 'utf8');

const compose = readComposeFile();
const own = Object.entries(compose.services).filter(([, service]) => service.build !== undefined);

describe('docker-compose.yml', () => {
  it('is valid by the Compose Specification', () => {
    const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false });
    const validate = ajv.compile(JSON.parse(read('test/fixtures/compose-spec/schema.json')));
    expect(validate(compose), JSON.stringify(validate.errors, null, 2)).toBe(true);
    expect(validate({ ...compose, services: { api: { comand: ['serve'] } } }), 'a misspelt key').toBe(false);
  });

  it('has an api, two workers, their databases, Temporal with its Web UI, a store and a mail sink', () => {
    expect(Object.keys(compose.services).sort()).toEqual(
      [
        'api',
        'worker-1',
        'worker-2',
        'catalog-db',
        'temporal-db',
        'temporal',
        'temporal-ui',
        's3',
        's3-bucket',
        'mail',
      ].sort(),
    );
    expect(own.map(([name, { command }]) => [name, command?.[0]])).toEqual([
      ['api', 'serve'],
      ['worker-1', 'worker'],
      ['worker-2', 'worker'],
    ]);
  });

  it('gives our services only variables that Tidemark reads', () => {
    const known = new Set<string>([...configVariables.map(({ name }) => name), ...Object.keys(workerEnvironment)]);
    for (const [, service] of own) {
      expect(Object.keys(service.environment ?? {}).filter((name) => !known.has(name))).toEqual([]);
    }
  });

  it('keeps the workers as small as `tidemark up` does, and starts them as the image does otherwise', () => {
    const [node, ...rest] = imageEntrypoint();
    for (const name of ['worker-1', 'worker-2']) {
      expect(compose.services[name]?.entrypoint, name).toEqual([node, ...workerNodeFlags, ...rest]);
      expect(compose.services[name]?.environment, name).toMatchObject(workerEnvironment);
    }
    expect(compose.services.api?.entrypoint).toBeUndefined();
  });

  it('pins every image, names every volume, waits only for services with a health check or an end', () => {
    for (const [name, service] of Object.entries(compose.services)) {
      if (service.build === undefined) expect(service.image, name).toMatch(/:v?\d/);
      for (const volume of service.volumes ?? []) expect(compose.volumes).toHaveProperty([volume.split(':')[0] ?? '']);
      for (const [dependency, { condition }] of Object.entries(service.depends_on ?? {})) {
        if (condition === 'service_healthy')
          expect(compose.services[dependency]?.healthcheck, dependency).toBeDefined();
      }
    }
  });

  it('takes every secret from .env and refuses to start without it', () => {
    const text = read('docker-compose.yml');
    const asked = new Set([...text.matchAll(/\$\{(\w+)(:[?-])/g)].map(([, name]) => name));
    const offered = new Set([...read('.env.example').matchAll(/^(\w+)=/gm)].map(([, name]) => name));
    for (const name of offered) expect(asked).toContain(name);
    for (const [, name, mode] of text.matchAll(/\$\{(\w+)(:[?-])/g)) {
      if (mode === ':?') expect(offered).toContain(name);
      else expect(name).not.toMatch(/PASSWORD|KEY|SECRET/);
    }
    for (const { environment } of Object.values(compose.services)) {
      for (const [name, value] of Object.entries(environment ?? {})) {
        if (/PASSWORD|_PWD|MASTER_KEY|SECRET_KEY|ACCESS_KEY/.test(name)) expect(value, name).toMatch(/^\$\{\w+:\?/);
      }
    }
  });
});

describe('Dockerfile', () => {
  const dockerfile = read('Dockerfile');
  const ignored = read('.dockerignore').split('\n');

  it('copies only what is in the repository and not ignored', () => {
    for (const [, sources] of dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)) {
      for (const source of (sources ?? '').split(' ').filter((word) => word !== '.')) {
        expect(() => readFileSync(resolve(root, source)), source).not.toThrow();
        expect(ignored).not.toContain(source);
      }
    }
  });

  it('starts Node itself as process 1, so that a stop reaches it', () => {
    expect(dockerfile).toMatch(/^ENTRYPOINT \["node", "dist\/cli\/main\.js"\]$/m);
  });

  it('sets only variables that Tidemark reads', () => {
    const known = new Set<string>([
      ...configVariables.map(({ name }) => name),
      'NODE_ENV',
      'PRISMA_SCHEMA_ENGINE_BINARY',
    ]);
    const set = [...dockerfile.matchAll(/^ENV (.+)$/gm)].flatMap(([, line]) =>
      [...(line ?? '').matchAll(/(\w+)=/g)].map(([, name]) => name ?? ''),
    );
    expect(set.filter((name) => !known.has(name))).toEqual([]);
  });
});
