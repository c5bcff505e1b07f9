import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parse } from 'yaml';

const root = resolve(import.meta.dirname, '../..');

export type ComposeService = {
  readonly image?: string;
  readonly build?: string;
  /** Stands for the image's. */
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly volumes?: readonly string[];
  readonly healthcheck?: { readonly test: readonly string[] };
};

export type ComposeFile = {
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly volumes: Readonly<Record<string, unknown>>;
};

/** docker-compose.yml as written, its anchors and merges resolved and its variables not. */
export function readComposeFile(): ComposeFile {
  return parse(readFileSync(resolve(root, 'docker-compose.yml'), 'utf8'), { merge: true }) as ComposeFile;
}

/** What the image starts when a service says nothing else. */
export function imageEntrypoint(): string[] {
  const [, list] = /^ENTRYPOINT (\[.+\])$/m.exec(readFileSync(resolve(root, 'Dockerfile'), 'utf8')) ?? [];
  return JSON.parse(list ?? '[]') as string[];
}

/** What Compose does with `${NAME:-default}`, `${NAME:?message}` and `$$`; throws the message of a variable that is not given. */
export function substitute(text: string, variables: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\$\$|\$\{(\w+):([?-])([^}]*)\}/g, (whole, name: string | undefined, mode, rest: string) => {
    if (name === undefined) return '$';
    const value = variables[name];
    if (value) return value;
    if (mode === '?') throw new Error(`${name}: ${rest}`);
    return mode === '-' ? rest : whole;
  });
}
