import { linkSync, rmSync, writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { recordAudit } from '../catalog/audit-events.js';
import { findAllSealed, findWrappingKey, markKeyExported } from '../catalog/wrapping-keys.js';
import { TidemarkError } from '../domain/errors.js';
import { formatExportedKey } from '../keys/exported-key.js';
import { newMasterKey, readMasterKeyFile, replaceMasterKeyFile, writeNewKeyFile } from '../keys/master-key.js';
import type { MasterKey } from '../keys/types.js';
import { openWrappingKey } from '../keys/wrapping-key.js';
import { confirmMasterKey } from '../usecases/confirm-master-key.js';
import { rotateMasterKey } from '../usecases/rotate-master-key.js';
import { rotatePlanKey } from '../usecases/rotate-plan-key.js';
import type { Session } from './open-session.js';
import { withSession } from './open-session.js';

/** `tidemark keys`: for the operator of the machine. No key is ever printed: terminals are logged and shared. */
export function registerKeys(program: Command): void {
  const keys = program.command('keys').description('Master key and wrapping keys, for the operator of this machine');
  keys
    .command('confirm')
    .description('Say that the master key is saved elsewhere; ends the reminder at every start')
    .action(() => withSession('keys', confirm));
  keys
    .command('list')
    .description('The wrapping keys, with what they are for')
    .action(() => withSession('keys', list));
  keys
    .command('export <keyId>')
    .description('Write a wrapping key into a file, for `tidemark extract` without the master key')
    .requiredOption('--out <file>', 'file to write (0600); must not be there')
    .action((keyId: string, options: { out: string }) =>
      withSession('keys', (session) => exportKey(session, keyId, options.out)),
    );
  keys
    .command('rotate <planId>')
    .description('Give a plan a new wrapping key for the backups from now on; earlier ones stay readable')
    .action((planId: string) => withSession('keys', (session) => rotatePlan(session, planId)));
  keys
    .command('rotate-master')
    .description('Seal everything under another master key. Stop the service, all of its processes, first')
    .option('--to <file>', 'file with the new key; written with a generated one when it is not there')
    .option('--service-is-stopped', 'needed with DATABASE_URL, where this cannot be seen from here')
    .action((options: { to?: string; serviceIsStopped?: boolean }) =>
      withSession('keys', (session) => rotateMaster(session, options.to, options.serviceIsStopped ?? false)),
    );
}

async function confirm({ context, principal }: Session): Promise<void> {
  const { masterKeyConfirmedAt } = await confirmMasterKey(context, principal);
  console.log(`Noted at ${masterKeyConfirmedAt}: the master key is saved elsewhere.`);
}

async function list({ context }: Session): Promise<void> {
  const { keys } = await findAllSealed(context.catalog.prisma);
  for (const key of keys) {
    const notes = [
      `made ${key.createdAt.toISOString()}`,
      key.retiredAt ? `no new backups since ${key.retiredAt.toISOString()}` : '',
      key.exportedAt ? `exported ${key.exportedAt.toISOString()}` : '',
    ];
    console.log(`${key.id}  ${notes.filter((note) => note !== '').join(', ')}`);
  }
}

async function exportKey({ context, principal }: Session, keyId: string, out: string): Promise<void> {
  const row = await findWrappingKey(context.catalog.prisma, keyId);
  if (!row) throw new TidemarkError('not_found', `There is no wrapping key ${keyId}.`, { object: keyId });
  const key = await openWrappingKey(context.masterKey, row.id, row.sealed);
  // Recorded first: a key in the clear of which nobody knows would be worse than a record without a file.
  await context.catalog.prisma.$transaction(async (tx) => {
    await recordAudit(tx, principal, 'key.exported', row.id);
    await markKeyExported(tx, row.id);
  });
  writePrivately(out, formatExportedKey(key));
  console.log(`${keyId} is in ${out}. Whoever holds it can read every backup made under it.`);
}

async function rotatePlan({ context, principal }: Session, planId: string): Promise<void> {
  const { keyId, retiredKeyId } = await rotatePlanKey(context, principal, { planId });
  console.log(`New backups of ${planId} use ${keyId}; those made before stay readable with ${retiredKeyId}.`);
}

async function rotateMaster(session: Session, file: string | undefined, stopped: boolean): Promise<void> {
  const { config, context, principal, master, serviceRuns } = session;
  if (serviceRuns ?? !stopped) {
    const how = serviceRuns === null ? ' and say so with --service-is-stopped' : '';
    throw new TidemarkError(
      'conflict',
      `Running processes would go on with the old master key. Stop Tidemark first${how}.`,
    );
  }
  if (master.source === 'environment' && file === undefined) {
    throw new TidemarkError(
      'invalid_request',
      'The master key comes from TIDEMARK_MASTER_KEY: say with --to which file is to hold the new one.',
    );
  }
  const to = file === undefined ? newMasterKey() : readOrMakeKey(file);
  const { wrappingKeys, secrets } = await rotateMasterKey(context, principal, {
    to,
    putInPlace: async () => {
      if (master.source === 'file') replaceMasterKeyFile(config.home, to);
    },
  });
  console.log(`Sealed anew: ${wrappingKeys} wrapping keys, ${secrets} secrets.`);
  console.log(
    master.source === 'file'
      ? `The new key is in ${master.path}, the former one in ${master.path}.previous. Save the new one elsewhere, then run: tidemark keys confirm`
      : `Set TIDEMARK_MASTER_KEY to the content of ${file} before the next start.`,
  );
  console.log('Keep the former key until the service has run for an hour: until then destinations know only that one.');
}

function readOrMakeKey(file: string): MasterKey {
  const found = readMasterKeyFile(file);
  if (found) return found;
  const made = newMasterKey();
  writeNewKeyFile(file, made);
  return made;
}

/** Under its name only when it is whole, and never over another file. */
function writePrivately(path: string, text: string): void {
  const temporary = `${path}.${process.pid}.partial`;
  try {
    writeFileSync(temporary, text, { mode: 0o600, flag: 'wx' });
    linkSync(temporary, path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new TidemarkError('invalid_request', `${path} cannot be written (${code ?? 'unknown error'}).`);
  } finally {
    rmSync(temporary, { force: true });
  }
}
