import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { SoakService } from './service.js';

/** What is looked at throughout: the worker's memory, and the command lines of every process. */
export type Watch = {
  /** Resident memory of the worker in MiB: highest, and medians of the first and the last fifth of the samples. */
  memory(): { readonly max: number; readonly early: number; readonly late: number; readonly samples: number };
  /** Command lines in which a secret was seen, as the names of their programs. */
  leaked(): readonly string[];
  stop(): void;
};

export function startWatch(service: SoakService, secrets: readonly string[]): Watch {
  const sizes: number[] = [];
  const leaks = new Set<string>();
  const forms = secretForms(secrets);
  const memoryTimer = setInterval(() => {
    try {
      const pid = service.process.run().pids.worker;
      const match = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
      if (match?.[1]) sizes.push(Number(match[1]) / 1024);
    } catch {
      // Between two workers.
    }
  }, 1_000);
  const argvTimer = setInterval(() => {
    for (const pid of readdirSync('/proc')) {
      if (!/^\d+$/.test(pid)) continue;
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        if (forms.some((secret) => line.includes(secret))) leaks.add(line.split('\0')[0] ?? pid);
      } catch {
        // It ended.
      }
    }
  }, 250);
  return {
    memory() {
      const fifth = Math.max(1, Math.floor(sizes.length / 5));
      return {
        max: Math.max(0, ...sizes),
        early: median(sizes.slice(0, fifth)),
        late: median(sizes.slice(-fifth)),
        samples: sizes.length,
      };
    },
    leaked: () => [...leaks],
    stop() {
      clearInterval(memoryTimer);
      clearInterval(argvTimer);
    },
  };
}

/** Log files of the service in which a secret stands, plain, as JSON, base64 or URL-encoded. */
export function findSecretsInLogs(home: string, secrets: readonly string[]): string[] {
  const forms = secretForms(secrets);
  return readdirSync(home, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.log') && !path.startsWith('database/'))
    .map((path) => join(home, path))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile())
    .filter((path) => {
      const text = readFileSync(path, 'utf8');
      return forms.some((secret) => text.includes(secret));
    });
}

function secretForms(secrets: readonly string[]): string[] {
  return secrets.flatMap((secret) => [
    secret,
    JSON.stringify(secret).slice(1, -1),
    Buffer.from(secret).toString('base64').replace(/=+$/, ''),
    Buffer.from(secret).toString('base64url'),
    encodeURIComponent(secret),
    new URLSearchParams({ s: secret }).toString().slice(2),
  ]);
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0;
}
