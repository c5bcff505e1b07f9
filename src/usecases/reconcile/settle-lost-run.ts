import { recordAudit } from '../../catalog/audit-events.js';
import type { CatalogQueries } from '../../catalog/client.js';
import type { Settlement } from '../../catalog/reconcile-rows.js';
import type { UsecaseContext } from '../context.js';
import type { PassResult } from './pass-result.js';

export type LostRun = {
  readonly object: 'backup' | 'restore';
  readonly id: string;
  readonly status: Settlement['status'];
  /** For the user: what happened, and what to do. */
  readonly message: string;
  /** Writes the result; false when somebody settled the row or began another attempt meanwhile. */
  settle(tx: CatalogQueries, to: Settlement): Promise<boolean>;
};

/** Gives a row whose workflow is gone its result, with an audit event, in one transaction. */
export async function settleLostRun(context: UsecaseContext, run: LostRun, result: PassResult): Promise<void> {
  const { object, id, status, message } = run;
  await context.catalog.prisma.$transaction(async (tx) => {
    const code = status === 'failed' ? ('workflow_lost' as const) : ('cancelled' as const);
    if (!(await run.settle(tx, { status, error: { code, message } }))) return;
    await recordAudit(tx, null, `${object}.settled_${status}`, id, { message });
    result.note('runsSettled', id);
  });
}
