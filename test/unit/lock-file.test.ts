import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

type Entry = {
  version?: string;
  resolved?: string;
  hasInstallScript?: boolean;
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
};
const root = resolve(import.meta.dirname, '../..');
const packages = (
  JSON.parse(readFileSync(resolve(root, 'package-lock.json'), 'utf8')) as { packages: Record<string, Entry> }
).packages;
const manifest = JSON.parse(readFileSync(resolve(root, 'package.json'), 'utf8')) as {
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
  allowScripts: Record<string, boolean>;
};

/** The lock file's key of what `name` means inside the package at `from`, as Node resolves it; null when nothing is there. */
function find(from: string, name: string): string | null {
  for (let at = from; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
    const key = `${at === '' ? '' : `${at}/`}node_modules/${name}`;
    if (packages[key]) return key;
    if (at === '') return null;
    if (!at.includes('/node_modules/')) at = '';
  }
}

describe('package-lock.json', () => {
  // npm leaves an optional platform package out when the registry at hand does not serve it; `npm ci` then refuses the file everywhere.
  it('names every dependency, also the optional ones of other platforms', () => {
    const missing = Object.entries(packages).flatMap(([key, entry]) =>
      Object.keys({ ...entry.dependencies, ...entry.optionalDependencies })
        .filter((name) => find(key, name) === null)
        .map((name) => `${name} of ${key}`),
    );
    expect(missing).toEqual([]);
  });

  it('gives every package a version and no registry address', () => {
    const bad = Object.entries(packages).filter(
      ([key, entry]) => key !== '' && (!entry.version || entry.resolved !== undefined),
    );
    expect(bad.map(([key]) => key)).toEqual([]);
  });

  it('asks for exact versions only', () => {
    const loose = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies }).filter(
      ([, version]) => !/^\d/.test(version),
    );
    expect(loose).toEqual([]);
  });

  it('holds one version of each family that must agree', () => {
    for (const family of [
      /^node_modules\/(.*\/node_modules\/)?@temporalio\//,
      /^node_modules\/(.*\/node_modules\/)?@?prisma(\/(client|adapter-pg|engines))?$/,
    ]) {
      const versions = new Set(
        Object.entries(packages).flatMap(([key, { version }]) => (family.test(key) ? [version] : [])),
      );
      expect([...versions]).toHaveLength(1);
    }
  });

  // npm 12 blocks an install script that is not decided on, and the one of "node" fetches the program everything runs on.
  it('has a decision for every package with an install script', () => {
    const withScript = Object.entries(packages).flatMap(([key, entry]) =>
      entry.hasInstallScript ? [key.slice(key.lastIndexOf('node_modules/') + 'node_modules/'.length)] : [],
    );
    expect(withScript.filter((name) => !(name in manifest.allowScripts))).toEqual([]);
    expect(manifest.allowScripts.node).toBe(true);
  });
});
