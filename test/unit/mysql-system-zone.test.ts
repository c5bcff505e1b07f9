import { describe, expect, it } from 'vitest';
import { findZone, probes } from '../../src/engines/mysql-family/chain/system-zone.js';

/** Seconds ahead of UTC as a server tells them. */
const offsets = (zone: string) =>
  probes.map((moment) => {
    const text = new Date(moment * 1_000).toLocaleString('sv-SE', { timeZone: zone });
    return Date.parse(`${text.replace(' ', 'T')}Z`) / 1_000 - moment;
  });

describe('the time zone of a host', () => {
  it.each(['Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'Australia/Lord_Howe', 'America/Sao_Paulo'])(
    'is found by what it does to times: %s',
    (zone) => {
      const found = findZone(offsets(zone));
      expect(found).not.toBeNull();
      expect(offsets(found ?? 'UTC')).toEqual(offsets(zone));
    },
  );

  it('is UTC where nothing is added, and nothing that is known where no zone does the same', () => {
    expect(findZone(probes.map(() => 0))).toBe('UTC');
    expect(findZone(probes.map(() => 61))).toBeNull();
  });
});
