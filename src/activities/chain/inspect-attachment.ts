import type { AttachRun } from '../../catalog/runs/attach-run.js';
import {
  joinChain,
  notePitrError as note,
  noteHeld,
  readAttachRun,
  recordFindings,
  requireAttachRun,
  settleAttachment,
  wantArchive,
} from '../../catalog/runs/attach-run.js';
import { rememberServer } from '../../catalog/runs/checks.js';
import type { EngineKind } from '../../domain/engine-kinds.js';
import type { ErrorCode } from '../../domain/errors.js';
import { TidemarkError } from '../../domain/errors.js';
import { judgeReadiness } from '../../domain/judge-readiness.js';
import { isSameServer } from '../../domain/same-server.js';
import type { PolicySchedule } from '../../domain/schemas/policies.js';
import type { ServerReadiness } from '../../engines/chain-engine.js';
import { getChainEngine } from '../../engines/chain-registry.js';
import type { CheckFinding } from '../../engines/engine.js';
import type { Activities } from '../../workflows/activity-types.js';
import type { ActivityDeps } from '../deps.js';
import { connectionOf, engineContext } from '../open-run.js';
import { runShort, runStep } from '../run-step.js';

/** Looks at the server before anything is made on it, and ties the attachment to its chain. A refusal stands on the row. */
export function inspectAttachment(deps: ActivityDeps): Activities['inspectAttachment'] {
  return ({ attachmentId }) =>
    runStep(deps, 'inspect-attachment', async (step) => {
      const row = await readAttachRun(deps.catalog, attachmentId);
      if (row === null) return { state: 'gone' };
      const { policy, database } = row;
      const engine = getChainEngine(database.engine as EngineKind);
      const incremental = (policy.schedule as PolicySchedule).incremental !== 'none';
      const connection = await connectionOf(deps, database);
      const readiness = await engine.inspectServer(connection, engineContext(deps, step), {
        pitr: policy.pitr,
        incremental,
      });
      await recordFindings(deps.catalog, attachmentId, readiness.findings);
      const refusal =
        refuseServer(row, readiness) ??
        judgeReadiness(readiness, {
          pitr: policy.pitr,
          incremental,
          accepted: row.accepted as string[],
          incrementalKind: engine.incrementalKind(readiness.server),
        });
      if (refusal !== null) {
        const error = { code: refusal.code, message: refusal.message };
        await settleAttachment(deps.catalog, attachmentId, error);
        return { state: 'refused', error };
      }
      if (incremental && engine.configureIncrementals !== undefined) {
        // Before the full that incrementals will build on.
        const changed = await engine.configureIncrementals(connection, engineContext(deps, step));
        const others = readiness.findings.filter(({ code }) => code !== 'summarize_wal_off');
        await recordFindings(deps.catalog, attachmentId, [...others, ...changed]);
      }
      const serverId = await rememberServer(deps.catalog, readiness.server);
      const chainId = await joinChain(deps.catalog, { attachmentId, policyId: policy.id, serverId });
      if (chainId === null) return { state: 'gone' };
      return { state: 'ready', chainId, policyId: policy.id, serverId, pitr: policy.pitr };
    });
}

/** Only the primary that its check has seen: a chain that begins on another server would hold other data. */
function refuseServer({ database, chain }: AttachRun, readiness: ServerReadiness): TidemarkError | null {
  if (readiness.role !== 'primary') {
    return new TidemarkError(
      'physical_forbidden',
      `${database.host}:${database.port} is a replica. Attach its primary; a registered replica of it is read from by itself.`,
      { object: database.id },
    );
  }
  const known = chain?.server.identity ?? database.server?.identity;
  if (known === undefined || isSameServer(known, readiness.server.identity)) return null;
  return new TidemarkError(
    'server_identity_changed',
    `At ${database.host}:${database.port} answers ${readiness.server.identity}; ${database.name} was seen on ${known}. Check the database to accept the new server, then attach it again.`,
    { object: database.id },
  );
}

/**
 * Lets the source keep its log from now on, before the catalog says that it is wanted: the follower finds what it needs. Not wanted: PITR was
 * switched off, or the database let go, since the server was inspected.
 */
export function configurePitr(deps: ActivityDeps): Activities['configurePitr'] {
  return ({ attachmentId }) =>
    runStep(deps, 'configure-pitr', async (step) => {
      const row = await requireAttachRun(deps.catalog, attachmentId);
      if (!row.policy.pitr) return { wanted: false };
      await noteHeld(deps.catalog.prisma, row.chain.id);
      const engine = getChainEngine(row.database.engine as EngineKind);
      const connection = await connectionOf(deps, row.database);
      const setup = await engine.configureArchive(connection, engineContext(deps, step), { slot: row.chain.slotName });
      const before = (row.findings ?? []) as CheckFinding[];
      const fresh = setup.findings.filter(({ code }) => !before.some((one) => one.code === code));
      await recordFindings(deps.catalog, attachmentId, [...before, ...fresh]);
      return { wanted: await wantArchive(deps.catalog, attachmentId) };
    });
}

export function notePitrError(deps: ActivityDeps): Activities['notePitrError'] {
  return ({ attachmentId, error }) => runShort(deps, 'note-pitr-error', () => note(deps.catalog, attachmentId, error));
}

export function finishAttach(deps: ActivityDeps): Activities['finishAttach'] {
  return ({ attachmentId, error }) =>
    runShort(deps, 'finish-attach', async () => {
      const { status, code } = await settleAttachment(deps.catalog, attachmentId, error);
      return { status, code: code as ErrorCode | null };
    });
}
