import { readdirSync, readFileSync, renameSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hold } from './broken.js';
import type { Outcome } from './runs.js';
import { nobody, restoreBeside } from './runs.js';
import type { KeptBackup, Subject, World } from './world.js';
import { PREFIX } from './world.js';

/** Damages one stored object; the restore must refuse with the right code. The object is put back afterwards. */
export async function damagedRestore(
  world: World,
  subject: Subject,
  backup: KeptBackup,
  luck: number,
): Promise<{ outcome: Outcome; note: string }> {
  const { service } = world;
  const folder = join(
    service.home,
    's3/data',
    service.process.run().s3.bucket,
    PREFIX,
    'tidemark/v1',
    subject.databaseId,
    'backups',
    backup.id,
  );
  const objects = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((path) => join(folder, path))
    .filter((path) => statSync(path).isFile() && !path.endsWith('manifest.json'));
  const path = objects[Math.floor(luck * 997) % objects.length];
  hold(path !== undefined, `${backup.id} has no objects`);
  const how = (['flip', 'truncate', 'remove'] as const)[Math.floor(luck * 9973) % 3] ?? 'flip';
  const aside = join(service.home, 's3', 'removed-by-soak');
  const { size } = statSync(path);
  const original = readFileSync(path);
  if (how === 'flip') {
    const changed = Buffer.from(original);
    const at = Math.floor(luck * size) % size;
    changed[at] = (changed[at] ?? 0) ^ (1 << (Math.floor(luck * 8191) % 8));
    writeFileSync(path, changed);
  } else if (how === 'truncate') truncateSync(path, Math.floor(luck * size) % size);
  else renameSync(path, aside);
  let outcome: Outcome;
  try {
    outcome = await restoreBeside(world, subject, backup, 'registered', nobody);
  } finally {
    // Moved back, not written again: the store keeps what it knows of an object in attributes of its file.
    if (how === 'remove') renameSync(aside, path);
    else writeFileSync(path, original);
  }
  const expected = how === 'remove' ? 'object_missing' : 'object_corrupt';
  hold(
    outcome.status === 'failed' && outcome.code === expected,
    `${path} was damaged (${how}); the restore ended ${outcome.status} ${outcome.code}, not ${expected}`,
  );
  return { outcome: { ...outcome, status: 'refused' }, note: how };
}
