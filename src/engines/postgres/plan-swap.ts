import { TidemarkError } from '../../domain/errors.js';
import type { SwapPlan, SwapStep } from '../engine.js';
import type { TextRow } from './connect.js';
import { changeProperties, readOuterProperties } from './database-properties.js';
import { endSessions } from './drop-database.js';
import { quoteName, quoteText } from './quote.js';
import type { RestoreScope } from './restore-scope.js';

async function findDatabase(scope: RestoreScope, name: string): Promise<TextRow | null> {
  const [row] = await scope.maintenance.rows(
    `SELECT oid::text, datname, datallowconn FROM pg_catalog.pg_database WHERE datname = ${quoteText(name)}`,
  );
  return row ?? null;
}

const rename = (from: string, to: string) => `ALTER DATABASE ${quoteName(from)} RENAME TO ${quoteName(to)}`;
const allow = (name: string, value: boolean) => `ALTER DATABASE ${quoteName(name)} ALLOW_CONNECTIONS ${value}`;
/** Probes go by OID, which a rename does not change: they tell the truth whatever the names are at the moment. A database that is gone counts as not done. */
const probe = (expression: string, oid: string) =>
  `SELECT coalesce((SELECT (${expression})::int FROM pg_catalog.pg_database WHERE oid = ${oid}), 0)`;
const isClosed = (oid: string) => probe('NOT datallowconn', oid);
const isOpen = (oid: string) => probe('datallowconn', oid);
const isNamed = (oid: string, name: string) => probe(`datname = ${quoteText(name)}`, oid);

/**
 * Shuts both databases, exchanges their names in one transaction, opens the new one. Nobody can connect from the first to
 * the last. The former content stays shut: nothing can change it, and no application finds it by mistake.
 */
function exchange(options: {
  target: TextRow;
  incoming: TextRow;
  targetName: string;
  incomingName: string;
  outgoingName: string;
  carry: readonly string[];
}): SwapStep[] {
  const { target, incoming, targetName, incomingName, outgoingName, carry } = options;
  const targetOid = target.oid ?? '0';
  const incomingOid = incoming.oid ?? '0';
  const wasOpen = target.datallowconn === 't';
  const step = (name: string, apply: string[], revert: string[], probe: string): SwapStep => ({
    name,
    database: null,
    apply,
    revert,
    probe,
  });
  return [
    ...(wasOpen
      ? [step('close-target', [allow(targetName, false)], [allow(targetName, true)], isClosed(targetOid))]
      : []),
    // Kept former content is shut already, and stays so if a revert is undone.
    ...(incoming.datallowconn === 't'
      ? [
          step(
            'close-incoming',
            [...carry, allow(incomingName, false)],
            [allow(incomingName, true)],
            isClosed(incomingOid),
          ),
        ]
      : []),
    step(
      'exchange-names',
      [endSessions([targetName, incomingName]), rename(targetName, outgoingName), rename(incomingName, targetName)],
      [endSessions([targetName, outgoingName]), rename(targetName, incomingName), rename(outgoingName, targetName)],
      isNamed(incomingOid, targetName),
    ),
    ...(wasOpen
      ? [step('open-target', [allow(targetName, true)], [allow(targetName, false)], isOpen(incomingOid))]
      : []),
  ];
}

/** How `staging` becomes `target`. What a database has outside itself (owner, grants, settings, limits, comment) is carried over from the target. */
export async function planSwap(
  scope: RestoreScope,
  names: { staging: string; target: string; previous: string },
): Promise<SwapPlan> {
  refuseLongNames(names.target, names.previous);
  const staging = await findDatabase(scope, names.staging);
  if (staging === null)
    throw new TidemarkError('swap_failed', `The staging database ${quoteName(names.staging)} is gone.`);
  const target = await findDatabase(scope, names.target);
  if (target === null) {
    const step: SwapStep = {
      name: 'name-target',
      database: null,
      apply: [endSessions([names.staging]), rename(names.staging, names.target)],
      revert: [endSessions([names.target]), rename(names.target, names.staging)],
      probe: isNamed(staging.oid ?? '0', names.target),
    };
    return { target: names.target, previous: null, steps: [step] };
  }
  if ((await findDatabase(scope, names.previous)) !== null)
    throw new TidemarkError('conflict', `The name ${quoteName(names.previous)} for the former content is taken.`, {
      object: names.previous,
    });
  await refuseWithoutRights(scope, names.target);
  const steps = exchange({
    target,
    incoming: staging,
    targetName: names.target,
    incomingName: names.staging,
    outgoingName: names.previous,
    carry: await carryStatements(scope, names.target, names.staging),
  });
  return { target: names.target, previous: names.previous, steps };
}

/** How the kept content becomes `target` again; it still has all of its own properties. */
export async function planRevert(
  scope: RestoreScope,
  names: { target: string; previous: string; aside: string },
): Promise<SwapPlan> {
  refuseLongNames(names.aside);
  const previous = await findDatabase(scope, names.previous);
  if (previous === null)
    throw new TidemarkError('previous_gone', `The former content ${quoteName(names.previous)} is no longer there.`, {
      object: names.previous,
    });
  const target = await findDatabase(scope, names.target);
  if (target === null)
    throw new TidemarkError('database_missing', `There is no database ${quoteName(names.target)}.`, {
      object: names.target,
    });
  if ((await findDatabase(scope, names.aside)) !== null)
    throw new TidemarkError('conflict', `The name ${quoteName(names.aside)} for the present content is taken.`, {
      object: names.aside,
    });
  await refuseWithoutRights(scope, names.target);
  const steps = exchange({
    target,
    incoming: previous,
    targetName: names.target,
    incomingName: names.previous,
    outgoingName: names.aside,
    carry: [],
  });
  return { target: names.target, previous: names.aside, steps };
}

/** After a rename without its owner, grants and settings, applications are locked out or meet another search_path. */
async function carryStatements(scope: RestoreScope, from: string, to: string): Promise<string[]> {
  const wanted = await readOuterProperties(scope.maintenance, from);
  const present = await readOuterProperties(scope.maintenance, to);
  return wanted === null || present === null ? [] : changeProperties(to, present, wanted);
}

/** PostgreSQL would cut a longer name off, and the plan would speak of a database that does not exist. */
function refuseLongNames(...names: string[]): void {
  for (const name of names) {
    if (Buffer.byteLength(name) > 63)
      throw new TidemarkError('invalid_request', `The database name ${quoteName(name)} is longer than 63 bytes.`, {
        object: name,
      });
  }
}

/** Found out before anything is shut: a swap that fails in the middle costs the application its time. */
async function refuseWithoutRights(scope: RestoreScope, target: string): Promise<void> {
  const [row] = await scope.maintenance.rows(`
    SELECT r.rolsuper OR (r.rolcreatedb AND pg_catalog.pg_has_role(d.datdba, 'USAGE')) AS may_rename,
      r.rolsuper OR pg_catalog.pg_has_role('pg_signal_backend', 'USAGE') OR NOT EXISTS (SELECT 1 FROM pg_catalog.pg_stat_activity a
        WHERE a.datid = d.oid AND a.usesysid IS NOT NULL AND NOT pg_catalog.pg_has_role(a.usesysid, 'USAGE')) AS may_end
    FROM pg_catalog.pg_database d, pg_catalog.pg_roles r WHERE r.rolname = current_user AND d.datname = ${quoteText(target)}`);
  const role = quoteName(scope.connection.username);
  const refuse = (what: string, statement: string) => {
    throw new TidemarkError('privilege_missing', `${scope.connection.username} ${what} Run: ${statement}`, {
      object: target,
      statement,
    });
  };
  if (row?.may_rename !== 't')
    refuse(
      `may not rename ${quoteName(target)}: that takes its owner with CREATEDB.`,
      `ALTER DATABASE ${quoteName(target)} OWNER TO ${role}; ALTER ROLE ${role} CREATEDB;`,
    );
  if (row?.may_end !== 't')
    refuse(`may not end the sessions in ${quoteName(target)}.`, `GRANT pg_signal_backend TO ${role};`);
}
