import { findChainsOfPolicy } from '../catalog/chains.js';
import { findDecidedBackups, readRetention } from '../catalog/runs/chain-retention.js';
import { decideRetention } from '../domain/chain-retention.js';
import type { PolicyRetentionPreview } from '../domain/schemas/policy-retention.js';
import type { Principal, UsecaseContext } from './context.js';
import { requirePolicy } from './get-policy.js';

/** What the retention of a policy would remove now, and why, by the rule that removes it. Changes nothing. */
export async function previewPolicyRetention(
  context: UsecaseContext,
  principal: Principal,
  input: { policyId: string },
): Promise<PolicyRetentionPreview> {
  const policy = await requirePolicy(context, principal, input.policyId);
  const chains = await findChainsOfPolicy(context.catalog.prisma, policy.id);
  const previews: PolicyRetentionPreview['chains'] = [];
  for (const { id, serverId } of chains) previews.push({ chainId: id, serverId, ...(await previewChain(context, id)) });
  return { policyId: policy.id, chains: previews };
}

type ChainPreview = Omit<PolicyRetentionPreview['chains'][number], 'chainId' | 'serverId'>;

async function previewChain({ catalog }: UsecaseContext, chainId: string): Promise<ChainPreview> {
  const found = await readRetention(catalog, chainId, new Date());
  if (found.state === 'held') {
    const none = { slices: 0, storedBytes: 0 };
    const log = { removes: { ...none, until: null }, keeps: none };
    return { heldBecause: found.because, promisedFrom: null, removes: [], keeps: [], log };
  }
  const { input } = found;
  const decision = decideRetention(input);
  const rows = await findDecidedBackups(catalog.prisma, chainId);
  const present = (because: Readonly<Record<string, string>>) =>
    rows.flatMap(({ id, kind, takenAt, storedBytes }) => {
      const reason = because[id];
      if (reason === undefined) return [];
      return [
        {
          backupId: id,
          kind: kind as ChainPreview['keeps'][number]['kind'],
          takenAt: takenAt?.toISOString() ?? null,
          storedBytes: storedBytes === null ? null : Number(storedBytes),
          because: reason,
        },
      ];
    });
  const gone = new Set(decision.deleteSlices);
  const [goes, stays] = [input.slices.filter(({ id }) => gone.has(id)), input.slices.filter(({ id }) => !gone.has(id))];
  const count = (slices: typeof goes) => ({
    slices: slices.length,
    storedBytes: slices.reduce((sum, { storedBytes }) => sum + storedBytes, 0),
  });
  const covered = goes.flatMap(({ coversTo }) => (coversTo === null ? [] : [coversTo])).sort();
  return {
    heldBecause: null,
    promisedFrom: decision.promisedFrom,
    removes: present(decision.reasons),
    keeps: present(decision.keptBecause),
    log: { removes: { ...count(goes), until: covered.at(-1) ?? null }, keeps: count(stays) },
  };
}
