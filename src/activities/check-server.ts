import { isTidemarkError, toRecordedError } from '../domain/errors.js';
import type { ServerReadiness } from '../engines/chain-engine.js';
import { getChainEngine } from '../engines/chain-registry.js';
import type { Capabilities, CheckFinding, DatabaseCheck, DatabaseConnection } from '../engines/engine.js';
import type { ActivityDeps } from './deps.js';
import { engineContext } from './open-run.js';
import type { Step } from './run-step.js';

/** A check is answered within 30 s: so long after its beginning whatever the server has not told is left out. */
const ANSWER_MS = 18_000;
/** Even after a slow beginning the inspection gets this much. */
const LEAST_MS = 3_000;

const NO_STREAMS = 'Change streams are not part of this version.';

export type ServerCheck = { readonly capabilities: Capabilities; readonly findings: readonly CheckFinding[] };

/**
 * What a check of a database says of its whole server: whether a policy can take incrementals of it and archive its log, and what stands in
 * the way, so that it is known before anybody attaches. It makes no dump impossible, therefore nothing of it refuses.
 */
export async function checkServer(
  deps: ActivityDeps,
  step: Step,
  at: { readonly connection: DatabaseConnection; readonly found: DatabaseCheck; readonly began: number },
): Promise<ServerCheck> {
  const { found } = at;
  const { dump, reason } = found.capabilities;
  const inspected = await inspect(deps, step, at);
  const reasons = [reason, inspected.reason, NO_STREAMS].filter((one) => one !== null);
  const known = new Set(found.findings.map(({ code }) => code));
  // A remark that the dump has made already; what a dump and a whole server lack may be two things of one name.
  const more = inspected.findings.filter(({ code, severity }) => severity === 'refuses' || !known.has(code));
  return {
    capabilities: {
      dump,
      incremental: inspected.incremental,
      pitr: inspected.pitr,
      realtime: false,
      reason: [...new Set(reasons)].join(' '),
    },
    findings: [...found.findings, ...more.map(saidOnly)],
  };
}

type Inspected = Pick<ServerReadiness, 'incremental' | 'pitr' | 'reason' | 'findings'>;

async function inspect(
  deps: ActivityDeps,
  step: Step,
  { connection, began }: { readonly connection: DatabaseConnection; readonly began: number },
): Promise<Inspected> {
  const limit = AbortSignal.timeout(Math.max(LEAST_MS, began + ANSWER_MS - Date.now()));
  const context = { ...engineContext(deps, step), signal: AbortSignal.any([step.signal, limit]) };
  try {
    const wish = { pitr: true, incremental: true };
    const readiness = await getChainEngine(connection.engine).inspectServer(connection, context, wish);
    // Attaching turns it on where it may, and says so where it may not.
    const asked = readiness.incremental ? [] : readiness.findings.filter(({ code }) => code === 'summarize_wal_off');
    const reason = [readiness.reason, ...asked.map(({ message }) => message)].filter(Boolean).join(' ');
    return { ...readiness, reason: reason === '' ? null : reason };
  } catch (error) {
    step.signal.throwIfAborted();
    if (!isTidemarkError(error) && !limit.aborted) throw error;
    const why = limit.aborted ? 'the server did not tell in time.' : toRecordedError(error).message;
    const unknown = `Whether a policy could archive its log could not be found out: ${why}`;
    return { incremental: false, pitr: false, reason: unknown, findings: [] };
  }
}

const saidOnly = (finding: CheckFinding): CheckFinding =>
  finding.severity === 'refuses'
    ? { ...finding, severity: 'info', message: `Under a policy: ${finding.message}` }
    : finding;
