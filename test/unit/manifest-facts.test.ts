import { expect, test } from 'vitest';
import { factsOf } from '../../src/storage/manifest-facts.js';
import { dumpManifest } from '../support/dump-manifest.js';

const takenAtOf = (takenAt: string) => {
  const content = dumpManifest({
    installationId: 'ins_1',
    backupId: 'bkp_1',
    attemptId: 'att_1',
    databaseId: 'db_1',
    source: { engine: 'postgresql', identity: '1', version: '17.5', major: '17', host: 'h', port: 1, database: 'd' },
    startedAt: takenAt,
    takenAt,
    position: { lsn: '0/1' },
    fingerprint: null,
    fingerprintUnavailable: 'not read',
    artifacts: [],
    key: null,
    sealedKey: '',
  });
  return factsOf({ ...content, mac: '', macKey: { keyId: '', sealedKey: '' } }).takenAt.toISOString();
};

test.each([
  ['2026-11-21T12:55:20.693445Z', '2026-11-21T12:55:20.694Z'],
  ['2026-11-21T12:59:59.999001Z', '2026-11-21T13:00:00.000Z'],
  ['2026-11-21T12:55:20.693000Z', '2026-11-21T12:55:20.693Z'],
  ['2026-11-21T12:55:20.693Z', '2026-11-21T12:55:20.693Z'],
  ['2026-11-21T12:55:20Z', '2026-11-21T12:55:20.000Z'],
])(
  'a backup that ended at %s is noted as of %s: a window that begins there can be restored from its first moment on',
  (taken, noted) => {
    expect(takenAtOf(taken)).toBe(noted);
  },
);
