import { TidemarkError } from './errors.js';

/** What an inspection of a server says, as far as attaching depends on it. */
export type Readiness = {
  readonly full: boolean;
  readonly pitr: boolean;
  readonly reason: string | null;
  readonly findings: readonly {
    readonly severity: 'refuses' | 'warns' | 'info';
    readonly code: string;
    readonly message: string;
    readonly statement: string | null;
  }[];
};

export type AttachWish = {
  readonly pitr: boolean;
  readonly incremental: boolean;
  /** Codes of `warns` findings that the owner has accepted. */
  readonly accepted: readonly string[];
  /** `log`: incrementals are made of the archived log. */
  readonly incrementalKind: 'physical' | 'log';
};

/**
 * Whether a database may be attached to a policy, from what its server's inspection found. Null: it may. `physical_forbidden` when what the
 * policy wants is impossible there, with the statements that would mend it and what remains; `not_supported` for incrementals that the
 * policy gives no log to make of; `acceptance_required` naming what nobody has accepted.
 */
export function judgeReadiness(readiness: Readiness, wish: AttachWish): TidemarkError | null {
  if (!readiness.full || (wish.pitr && !readiness.pitr)) {
    const what = readiness.full ? 'archiving its log (PITR)' : 'backups of the whole server';
    const refusals = readiness.findings.filter(({ severity }) => severity === 'refuses');
    const statements = refusals.flatMap(({ statement }) => (statement === null ? [] : [statement]));
    const run = statements.length === 0 ? '' : ` Run: ${statements.join(' ')}`;
    const remains = readiness.full ? ' Fulls are possible: a policy without PITR takes them.' : '';
    const why = readiness.reason ?? refusals.map(({ message }) => message).join(' ');
    return new TidemarkError('physical_forbidden', `The server does not allow ${what}: ${why}${run}${remains}`);
  }
  if (wish.incremental && wish.incrementalKind === 'log' && !wish.pitr) {
    return new TidemarkError(
      'not_supported',
      'Incrementals of this server are made of its archived log, and the policy archives none. Turn on PITR, or set incrementals to none.',
    );
  }
  const open = readiness.findings.filter(({ severity, code }) => severity === 'warns' && !wish.accepted.includes(code));
  if (open.length === 0) return null;
  const codes = [...new Set(open.map(({ code }) => code))];
  return new TidemarkError(
    'acceptance_required',
    `Not accepted yet: ${open.map(({ code, message }) => `${code} (${message})`).join('; ')}. Change what is named, or attach again with accept: ${JSON.stringify(codes)}.`,
    { references: codes },
  );
}
