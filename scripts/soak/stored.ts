import { createHash } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runChild } from '../../src/platform/run-child.js';
import { hold } from './broken.js';
import type { Outcome } from './runs.js';
import type { KeptBackup, Subject, World } from './world.js';
import { PREFIX } from './world.js';

export async function deleteOne(world: World, subject: Subject, backup: KeptBackup): Promise<Outcome> {
  const started = performance.now();
  const { status } = await world.service.request('DELETE', `/v1/backups/${backup.id}`);
  hold(status === 204 || status === 202 || status === 404, `DELETE ${backup.id} answered ${status}`);
  subject.backups = subject.backups.filter((one) => one !== backup);
  // Until it is gone: by its workflow, or by the reconcile loop when that was lost.
  await world.service.untilGone(`/v1/backups/${backup.id}`, 240_000);
  return { status: 'completed', code: null, settleMs: performance.now() - started };
}

/** The same bytes by the API and by `tidemark extract`, which has the store and the master key alone. */
export async function downloadAndExtract(world: World, backup: KeptBackup): Promise<Outcome> {
  const started = performance.now();
  const { service } = world;
  const { items } = await service.call<{ items: { name: string; role: string; bytes: number; sha256: string }[] }>(
    'GET',
    `/v1/backups/${backup.id}/files`,
  );
  const dump = items.find((file) => file.role === 'dump');
  hold(dump !== undefined, `${backup.id} has no dump among its files`);
  const download = await service.process.api.send('GET', `/v1/backups/${backup.id}/download`);
  hold(download.ok, `the download of ${backup.id} answered ${download.status}`);
  const bytes = Buffer.from(await download.arrayBuffer());
  hold(sha256(bytes) === dump.sha256, `the download of ${backup.id} is not what its manifest says`);

  const { s3 } = service.process.run();
  const credentials = join(service.home, '..', 'credentials.json');
  const out = join(service.home, '..', 'extracted');
  writeFileSync(credentials, JSON.stringify(s3), { mode: 0o600 });
  try {
    const result = await runChild({
      command: process.execPath,
      args: [
        '--import',
        './scripts/typescript.mjs',
        'src/cli/main.ts',
        'extract',
        ...['--from', `s3://${s3.bucket}/${PREFIX}`, '--credentials', credentials],
        ...['--master-key', join(service.home, 'master.key'), '--backup', backup.id, '--out', out],
      ],
      cwd: join(import.meta.dirname, '../..'),
      env: { HOME: out },
      label: 'tidemark extract',
    });
    hold(result.code === 0, `extract of ${backup.id} ended with ${result.code}: ${result.stderr.slice(-500)}`);
    hold(sha256(readFileSync(join(out, dump.name))) === dump.sha256, `the extracted ${backup.id} differs`);
  } finally {
    rmSync(out, { recursive: true, force: true });
    rmSync(credentials, { force: true });
  }
  return { status: 'completed', code: null, settleMs: performance.now() - started };
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
