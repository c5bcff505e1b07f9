import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RunAsUser } from '../../../platform/run-as.js';
import { giveTo } from '../../../platform/run-as.js';
import { runChild } from '../../../platform/run-child.js';

export type SandboxLocales = {
  /** For LOCPATH; null when the host's own suffice. */
  readonly path: string | null;
  /** What the sandbox's server would not take, even so. */
  readonly missing: readonly string[];
};

type Probe = {
  readonly postgres: string;
  /** A folder for the sandbox's user alone. */
  readonly dir: string;
  readonly user: RunAsUser | undefined;
  readonly signal: AbortSignal;
};

/** Asks the very server program, whose C library need not be the host's: reading one setting checks the locale and starts nothing. */
async function knows(probe: Probe, locale: string, path: string | null): Promise<boolean> {
  const result = await runChild({
    command: probe.postgres,
    args: [
      '-D',
      probe.dir,
      '-c',
      `config_file=${join(probe.dir, 'probe.conf')}`,
      '-c',
      `lc_monetary=${locale}`,
      '-C',
      'lc_monetary',
    ],
    env: path === null ? {} : { LOCPATH: path },
    ...(probe.user ? { user: probe.user } : {}),
    label: 'postgres -C',
    timeoutMs: 30_000,
    signal: probe.signal,
  });
  return result.code === 0;
}

/** `en_US.UTF-8`, `de_DE@euro`, `fr_FR`: language and territory, character set, modifier. */
const NAME = /^([A-Za-z]{2,3}(?:_[A-Z]{2,3})?)(?:\.([A-Za-z0-9_-]+))?(@[A-Za-z0-9]+)?$/;

/** Compiles a locale from the host's definitions. False when there are none of that name. */
async function compile(locale: string, into: string, signal: AbortSignal): Promise<boolean> {
  const [, language, charset, modifier = ''] = NAME.exec(locale) ?? [];
  if (language === undefined) return false;
  const result = await runChild({
    command: 'localedef',
    args: [
      '--no-archive',
      '-i',
      `${language}${modifier}`,
      '-f',
      /^utf-?8$/i.test(charset ?? '') ? 'UTF-8' : (charset ?? 'ISO-8859-1'),
      join(into, locale),
    ],
    env: {},
    label: 'localedef',
    timeoutMs: 120_000,
    signal,
  });
  // 1: with warnings, written all the same.
  return result.code === 0 || result.code === 1;
}

/**
 * Makes locales known to a sandbox's server: those that the host lacks are compiled into a private folder. A cluster that was made with
 * en_US.UTF-8 refuses every session on a host that has only C.UTF-8.
 */
export async function prepareLocales(names: readonly string[], probe: Probe): Promise<SandboxLocales> {
  const wanted = names.filter((name) => name !== 'C' && name !== 'POSIX' && name !== '');
  writeFileSync(join(probe.dir, 'probe.conf'), '', { mode: 0o644 });
  giveTo(probe.user, join(probe.dir, 'probe.conf'));
  const unknown: string[] = [];
  for (const name of wanted) if (!(await knows(probe, name, null))) unknown.push(name);
  if (unknown.length === 0) return { path: null, missing: [] };
  const path = join(probe.dir, 'locales');
  mkdirSync(path, { recursive: true, mode: 0o755 });
  // All of them: where LOCPATH is set the host's archive of locales is not looked at.
  const missing: string[] = [];
  for (const name of wanted) {
    await compile(name, path, probe.signal);
    if (!(await knows(probe, name, path))) missing.push(name);
  }
  return { path, missing };
}
