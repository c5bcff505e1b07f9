import { describe, expect, it } from 'vitest';
import type { AttachWish, Readiness } from '../../src/domain/judge-readiness.js';
import { judgeReadiness } from '../../src/domain/judge-readiness.js';

const able: Readiness = { full: true, pitr: true, reason: null, findings: [] };
const wish: AttachWish = { pitr: true, incremental: true, accepted: [], incrementalKind: 'physical' };
const finding = (severity: 'refuses' | 'warns' | 'info', code: string, statement: string | null = null) => ({
  ...{ severity, code, statement },
  message: `about ${code}`,
});

describe('whether a database may be attached', () => {
  it('is yes when its server can do what the policy wants', () => {
    expect(judgeReadiness(able, wish)).toBeNull();
    expect(judgeReadiness({ ...able, findings: [finding('info', 'unlogged_tables')] }, wish)).toBeNull();
  });

  it('is no where physical replication is forbidden, with the reason and the statements that would mend it', () => {
    const findings = [finding('refuses', 'replication_right', 'ALTER ROLE backup REPLICATION;')];
    const error = judgeReadiness({ full: false, pitr: false, reason: 'The role may not replicate.', findings }, wish);
    expect(error?.code).toBe('physical_forbidden');
    expect(error?.message).toContain('The role may not replicate.');
    expect(error?.message).toContain('ALTER ROLE backup REPLICATION;');
  });

  it('says what remains possible when only the log cannot be archived, and is yes for a policy that archives none', () => {
    const readiness = { ...able, pitr: false, findings: [finding('refuses', 'max_replication_slots')] };
    expect(judgeReadiness(readiness, wish)?.message).toContain('without PITR');
    expect(judgeReadiness(readiness, { ...wish, pitr: false })).toBeNull();
  });

  it('is no for incrementals made of a log that the policy does not archive', () => {
    const log: AttachWish = { ...wish, incrementalKind: 'log' };
    expect(judgeReadiness(able, log)).toBeNull();
    expect(judgeReadiness(able, { ...log, pitr: false })?.code).toBe('not_supported');
    expect(judgeReadiness(able, { ...log, pitr: false, incremental: false })).toBeNull();
  });

  it('waits for the named acceptance of everything that would be left out', () => {
    const findings = [finding('warns', 'slot_limit_unset'), finding('warns', 'unlogged_tables')];
    const error = judgeReadiness({ ...able, findings }, { ...wish, accepted: ['unlogged_tables'] });
    expect(error).toMatchObject({ code: 'acceptance_required', details: { references: ['slot_limit_unset'] } });
    const accepted = ['unlogged_tables', 'slot_limit_unset'];
    expect(judgeReadiness({ ...able, findings }, { ...wish, accepted })).toBeNull();
  });
});
