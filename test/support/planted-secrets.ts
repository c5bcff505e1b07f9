/** Secrets that are planted where users enter them, and the places in which they are sought afterwards. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { TestEngine } from './engine-servers.js';
import { withTemporal } from './temporal-of.js';

/** A password that every layer would have to quote. */
export const PLANTED_PASSWORD = `Pl4nted's "p@ss" %2F;$(id) \`x\``;

/** Each secret as it is, base64 and URL-encoded. */
export function plantedForms(secrets: readonly string[]): string[] {
  return secrets.flatMap((secret) => [
    secret,
    JSON.stringify(secret).slice(1, -1),
    Buffer.from(secret).toString('base64').replace(/=+$/, ''),
    Buffer.from(secret).toString('base64url'),
    encodeURIComponent(secret),
    new URLSearchParams({ s: secret }).toString().slice(2),
  ]);
}

/** What stands around each find. */
export function findSecrets(secrets: readonly string[], texts: readonly string[]): string[] {
  return texts.flatMap((text) =>
    secrets
      .filter((secret) => text.includes(secret))
      .map((secret) => text.slice(Math.max(0, text.indexOf(secret) - 200), text.indexOf(secret) + 20)),
  );
}

/** An account that may do everything, with the planted password. */
export async function createPlantedAccount(engine: TestEngine, username: string): Promise<void> {
  const password = PLANTED_PASSWORD.replaceAll("'", "''");
  if (engine.engine === 'postgresql') {
    await engine.query(`create role ${username} superuser login password '${password}'`);
    return;
  }
  await engine.query(`create user ${username}@'127.0.0.1' identified by '${password}'`);
  await engine.query(`grant all privileges on *.* to ${username}@'127.0.0.1' with grant option`);
}

/** Reads every command line of the machine again and again until stopped: a secret in argv is seen by every user. */
export function watchCommandLines(secrets: readonly string[]) {
  const found = new Set<string>();
  let samples = 0;
  let running = true;
  const loop = (async () => {
    while (running) {
      samples += 1;
      for (const pid of readdirSync('/proc')) {
        if (!/^\d+$/.test(pid)) continue;
        try {
          const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
          if (secrets.some((secret) => line.includes(secret))) found.add(line);
        } catch {
          // Ended between listing and reading.
        }
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();
  return {
    samples: () => samples,
    async stop() {
      running = false;
      await loop;
      return [...found];
    },
  };
}

/** The history of every workflow that the service's Temporal knows, by type. */
export async function readHistories(home: string): Promise<{ type: string; text: string }[]> {
  return await withTemporal(home, async (client) => {
    const histories: { type: string; text: string }[] = [];
    for await (const info of client.workflow.list()) {
      const history = await client.workflow.getHandle(info.workflowId, info.runId).fetchHistory();
      histories.push({ type: info.type, text: JSON.stringify(history, decodeBytes) });
    }
    expect(histories.length).toBeGreaterThan(5);
    return histories;
  });
}

/** Payloads are bytes; a Buffer turns itself into an array of numbers before a replacer sees it, so the holder is asked. */
function decodeBytes(this: Record<string, unknown>, key: string, value: unknown): unknown {
  const held = this[key];
  return held instanceof Uint8Array ? Buffer.from(held).toString('utf8') : value;
}

export function logFiles(home: string): string[] {
  return filesUnder(home).filter((path) => path.endsWith('.log') && !path.includes('/database/'));
}

/** The objects of the embedded store, as files. */
export const storeFiles = (home: string) => filesUnder(join(home, 's3/data'));

export function filesUnder(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .map((path) => join(dir, path))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile());
}

export function readMasterKey(home: string): string {
  return readFileSync(join(home, 'master.key'), 'utf8').trim();
}
