import type { Command } from 'commander';
import { TidemarkError } from '../domain/errors.js';
import { openDestination } from '../storage/open-destination.js';
import type { ImportReport } from '../usecases/import-destination.js';
import { importDestination } from '../usecases/import-destination.js';
import type { DestinationOptions } from './extract-destination.js';
import { parseDestination, withDestinationOptions } from './extract-destination.js';
import { collectKeys, extractKeyOpener } from './extract-keys.js';
import type { Session } from './open-session.js';
import { withSession } from './open-session.js';

type Options = DestinationOptions & { name?: string; dryRun?: boolean; json?: boolean };

/** `tidemark import`: from a destination and its master key back to a catalog that can restore everything in it. */
export function registerImport(program: Command): void {
  const command = program
    .command('import')
    .description(
      'Bring back from a destination what the catalog of this installation does not know; the store is only read',
    );
  withDestinationOptions(command)
    .option('--name <name>', 'name of the destination, where it is not registered yet')
    .option('--dry-run', 'say what would be added, and add nothing')
    .option('--json', 'print JSON')
    .action((options: Options) => withSession('import', (session) => runImport(session, options)));
}

async function runImport({ config, context, principal }: Session, options: Options): Promise<void> {
  const { home, masterKey, directoryRoots } = config;
  const keys = collectKeys({
    masterKeyFile: options.masterKey,
    wrappingKeyFiles: options.wrappingKey ?? [],
    fromEnv: masterKey,
    home,
  });
  const place = parseDestination(options);
  const interrupt = new AbortController();
  const onSignal = () => interrupt.abort(new TidemarkError('cancelled', 'Interrupted; nothing was imported.'));
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  const { signal } = interrupt;
  // As the workers will open it: a folder outside of the roots could be imported and never be read.
  const destination = openDestination(place, { directoryRoots });
  try {
    const report = await importDestination(context, principal, {
      config: place,
      destination,
      openKey: extractKeyOpener(keys, destination, signal),
      name: options.name ?? `imported ${place.type === 's3' ? place.bucket : 'directory'}`.slice(0, 100),
      dryRun: options.dryRun ?? false,
      signal,
    });
    console.log(options.json ? JSON.stringify(report, null, 2) : describe(report, destination.location, options));
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    destination.close();
  }
}

function describe(report: ImportReport, location: string, { dryRun = false }: Options): string {
  const { added, found, refused, newDatabaseIds, destinationId, isNewDestination, writtenBy } = report;
  const counts = Object.entries(added).filter(([, count]) => count > 0);
  const what = counts.map(([kind, count]) => `${count} ${kind}`).join(', ');
  const lines = [
    `${location} holds ${found.backups} backups and ${found.slices} pieces of logs.`,
    `${dryRun ? 'To be added' : 'Added'}: ${what === '' ? 'nothing; all of it is known here' : what}.`,
    ...(isNewDestination && !dryRun ? [`The destination is ${destinationId}.`] : []),
    ...refused.map(({ object, message }) => `Left out: ${object}. ${message}`),
  ];
  if (dryRun) return lines.join('\n');
  if (newDatabaseIds.length > 0) {
    lines.push(
      'Plans and policies are paused and keep everything. Databases came without credentials, which no store holds: before one is',
      'used again, PATCH /v1/databases/ID {"username": …, "password": …}. A restore with a connection of its own needs none:',
      ...newDatabaseIds.map((id) => `  ${id}`),
    );
  }
  if (writtenBy !== null) {
    lines.push(
      `Backups can be restored from here. Installation ${writtenBy} is the one that writes there; when it is gone for good:`,
      `  POST /v1/destinations/${destinationId}/take-over`,
    );
  }
  return lines.join('\n');
}
