import { TidemarkError } from '../../domain/errors.js';
import type { SwapPlan } from '../engine.js';
import { findOutsideTies } from './inspect-target.js';
import { requireFittingName } from './restore-names.js';
import type { RestoreScope } from './restore-scope.js';
import type { Content } from './swap-content.js';
import { isEmptyContent, readContent } from './swap-content.js';
import { exchangeSteps } from './swap-steps.js';

async function refuseTies(scope: RestoreScope, target: string): Promise<void> {
  const ties = await findOutsideTies(scope, target);
  if (ties.length === 0) return;
  throw new TidemarkError(
    'target_in_use_outside',
    `Foreign keys from outside would follow the former tables: ${ties.join(', ')}.`,
    { object: target, references: ties },
  );
}

async function refuseTaken(scope: RestoreScope, name: string, what: string): Promise<void> {
  requireFittingName(name);
  if ((await readContent(scope, name)) === null) return;
  throw new TidemarkError('conflict', `The name ${name} for the ${what} is taken.`, { object: name });
}

const literalNames = async (scope: RestoreScope) =>
  scope.brand.kind === 'mysql' && (await scope.control.value('SELECT @@global.partial_revokes')) === '1';

async function maxPacket(scope: RestoreScope): Promise<number> {
  return Number(await scope.control.value('SELECT @@session.max_allowed_packet'));
}

/** RENAME TABLE is all or nothing only as one statement; so many tables that it does not fit are refused, not moved in pieces. */
function refuseTooLong(plan: SwapPlan, limit: number): SwapPlan {
  const longest = Math.max(
    ...plan.steps.flatMap((step) => [...step.apply, ...step.revert].map((text) => Buffer.byteLength(text))),
  );
  if (longest < limit - 1024) return plan;
  throw new TidemarkError(
    'not_supported',
    `The statements of the swap of ${plan.target} (${longest} bytes) do not fit into max_allowed_packet of the server (${limit}). Raise it, then restore again.`,
    { object: plan.target },
  );
}

async function plan(
  scope: RestoreScope,
  names: { incoming: Content; target: string; outgoing: string; dropIncoming: boolean },
): Promise<SwapPlan> {
  requireFittingName(names.target);
  const target = await readContent(scope, names.target);
  const keeps = target !== null && !isEmptyContent(target);
  if (keeps) {
    await refuseTies(scope, names.target);
    await refuseTaken(scope, names.outgoing, 'former content');
  }
  const steps = exchangeSteps({
    incoming: names.incoming,
    targetName: names.target,
    target,
    outgoing: keeps ? names.outgoing : null,
    literalNames: await literalNames(scope),
    dropIncoming: names.dropIncoming,
  });
  return refuseTooLong(
    { target: names.target, previous: keeps ? names.outgoing : null, steps },
    await maxPacket(scope),
  );
}

/** See RestoreSession.planSwap. */
export async function planSwap(
  scope: RestoreScope,
  names: { staging: string; target: string; previous: string },
): Promise<SwapPlan> {
  const incoming = await readContent(scope, names.staging);
  if (incoming === null) throw new TidemarkError('swap_failed', `The staging database ${names.staging} is gone.`);
  return plan(scope, { incoming, target: names.target, outgoing: names.previous, dropIncoming: false });
}

/** See RestoreSession.planRevert. */
export async function planRevert(
  scope: RestoreScope,
  names: { target: string; previous: string; aside: string },
): Promise<SwapPlan> {
  const incoming = await readContent(scope, names.previous);
  if (incoming === null) {
    throw new TidemarkError('previous_gone', `The former content ${names.previous} is no longer there.`, {
      object: names.previous,
    });
  }
  await refuseTies(scope, names.previous);
  return plan(scope, { incoming, target: names.target, outgoing: names.aside, dropIncoming: true });
}
