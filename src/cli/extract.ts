import { basename } from 'node:path';
import type { Command } from 'commander';
import { loadConfig } from '../config.js';
import { isTidemarkError, TidemarkError } from '../domain/errors.js';
import { enginesRoot } from '../platform/installed.js';
import type { ExtractedFile } from '../storage/extract-backup.js';
import { extractBackup } from '../storage/extract-backup.js';
import { isDamage } from '../storage/is-damage.js';
import type { FoundBackup } from '../storage/list-backups.js';
import { listBackups } from '../storage/list-backups.js';
import type { Manifest } from '../storage/manifest.js';
import { openDestination } from '../storage/open-destination.js';
import type { VerifiedManifest } from '../storage/read-manifest.js';
import { readManifest } from '../storage/read-manifest.js';
import type { DestinationOptions } from './extract-destination.js';
import { parseDestination, withDestinationOptions } from './extract-destination.js';
import { collectKeys, extractKeyOpener } from './extract-keys.js';
import { withOlder } from './extract-name-older.js';
import { extractPoint, parsePoint } from './extract-point.js';

type Options = DestinationOptions & {
  backup?: string;
  database?: string;
  databaseServer?: string;
  policy?: string;
  time?: string;
  position?: string;
  latest?: boolean;
  before?: boolean;
  out?: string;
  overwrite?: boolean;
  fingerprint?: boolean;
  json?: boolean;
};

/** `tidemark extract`: from a destination and a key to the engine's own files, without the service and without its catalog. */
export function registerExtract(program: Command): void {
  const command = program
    .command('extract')
    .description("Turn a stored backup into the engine's own files, with the destination and a key alone");
  withDestinationOptions(command)
    .option('--backup <id>', 'the backup to extract; without it the backups found are listed')
    .option('--database <id>', 'only backups of this database')
    .option('--database-server <id>', 'the server whose files to write, for --time, --position or --latest')
    .option('--policy <id>', 'the policy under which they were kept, where there are several')
    .option('--time <time>', 'everything committed up to this moment of its clock: 2026-01-31T12:00:00.123456Z')
    .option('--position <position>', 'an LSN, or the GTID of the last transaction wanted')
    .option('--latest', 'everything that is stored')
    .option('--before', 'stop short of a transaction exactly at that time or position')
    .option('--out <folder>', 'where the files go (default: ./<backup id>)')
    .option('--overwrite', 'replace files that are there')
    .option('--fingerprint', 'also write the fingerprint of the content')
    .option('--json', 'print JSON')
    .action(runExtract);
}

async function runExtract(options: Options): Promise<void> {
  const { home, masterKey, install } = loadConfig();
  const keys = collectKeys({
    masterKeyFile: options.masterKey,
    wrappingKeyFiles: options.wrappingKey ?? [],
    fromEnv: masterKey,
    home,
  });
  const config = parseDestination(options);
  const interrupt = new AbortController();
  const onSignal = () => interrupt.abort(new TidemarkError('cancelled', 'Interrupted; nothing half-written was left.'));
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  const signal = interrupt.signal;
  // Any folder: whoever runs this reads with their own rights.
  const destination = openDestination(config, { directoryRoots: 'any' });
  try {
    const openKey = extractKeyOpener(keys, destination, signal);
    const read = (found: FoundBackup) => readManifest({ destination, ...found, openKey, signal });
    const target = parsePoint(options);
    if (target !== null) {
      const { databaseServer: serverId, policy: policyId = null, out: outDir } = options;
      if (serverId === undefined || outDir === undefined) {
        throw new TidemarkError('invalid_request', 'A point in time needs --database-server ID and --out FOLDER.');
      }
      const toolRoots = [enginesRoot(install)];
      console.log(
        await extractPoint({ destination, openKey, signal }, { serverId, policyId, target, outDir, toolRoots }),
      );
      return;
    }
    const found: FoundBackup[] = [];
    for await (const backup of listBackups({ destination, signal })) {
      if (options.database === undefined || backup.ownerId === options.database) found.push(backup);
    }
    if (options.backup === undefined) return await printList(found, read, options.json ?? false);
    const wanted = found.find((backup) => backup.backupId === options.backup);
    if (!wanted) {
      throw new TidemarkError('manifest_missing', `There is no backup ${options.backup} in ${destination.location}.`, {
        object: options.backup,
      });
    }
    try {
      const backup = await read(wanted);
      const files = await extractBackup({
        destination,
        backup,
        outDir: options.out ?? wanted.backupId,
        overwrite: options.overwrite ?? false,
        withFingerprint: options.fingerprint ?? false,
        signal,
      });
      printFiles(backup.manifest, files, options.json ?? false);
    } catch (error) {
      throw isDamage(error) ? await withOlder(error, { wanted, found, read, destination, signal }) : error;
    }
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    destination.close();
  }
}

type Listed = FoundBackup & { readonly manifest: Manifest | null; readonly error: string | null };

async function printList(
  found: readonly FoundBackup[],
  read: (backup: FoundBackup) => Promise<VerifiedManifest>,
  json: boolean,
): Promise<void> {
  const listed: Listed[] = [];
  for (const backup of found) {
    try {
      listed.push({ ...backup, manifest: (await read(backup)).manifest, error: null });
    } catch (error) {
      if (!isTidemarkError(error)) throw error;
      listed.push({ ...backup, manifest: null, error: error.message });
    }
  }
  listed.sort((a, b) => (b.manifest?.takenAt ?? b.modifiedAt).localeCompare(a.manifest?.takenAt ?? a.modifiedAt));
  if (json) {
    const items = listed.map(({ ownerId, backupId, manifest, error }) => ({
      ...summary(manifest),
      ownerId,
      databaseId: manifest?.databaseId ?? ownerId,
      backupId,
      error,
    }));
    console.log(JSON.stringify(items, null, 2));
    return;
  }
  if (listed.length === 0) console.log('No backups were found.');
  for (const { ownerId, backupId, manifest, error } of listed) {
    const what = manifest
      ? `${manifest.takenAt}  ${manifest.source.engine} ${manifest.source.version}  ${manifest.source.database}  ${size(manifest)} bytes`
      : `not usable: ${error}`;
    console.log(`${backupId}  ${ownerId}  ${what}${manifest?.label ? `  "${manifest.label}"` : ''}`);
  }
}

function summary(manifest: Manifest | null) {
  if (!manifest) return null;
  const { kind, label, takenAt, source } = manifest;
  return {
    kind,
    label,
    takenAt,
    engine: source.engine,
    version: source.version,
    database: source.database,
    bytes: size(manifest),
  };
}

function size(manifest: Manifest): number {
  return manifest.artifacts.reduce((sum, artifact) => sum + (artifact.role === 'fingerprint' ? 0 : artifact.bytes), 0);
}

function printFiles(manifest: Manifest, files: readonly ExtractedFile[], json: boolean): void {
  if (json) {
    console.log(JSON.stringify(files, null, 2));
    return;
  }
  for (const file of files) console.log(`${file.path}  ${file.bytes} bytes  sha256 ${file.sha256}`);
  console.log(
    `Verified: every object and every byte is what was written at ${manifest.completedAt}. ${hint(manifest, files)}`,
  );
}

/** How to load it without Tidemark. */
function hint(manifest: Manifest, files: readonly ExtractedFile[]): string {
  const { engine, version } = manifest.source;
  if (manifest.chain !== undefined) {
    return `It holds a whole server. For a data folder that can be started:\n  tidemark extract … --database-server ${manifest.chain.serverId} --time ${manifest.takenAt} --out FOLDER`;
  }
  const dumpNames = new Set(manifest.artifacts.filter(({ role }) => role === 'dump').map(({ name }) => name));
  // In the manifest's order, which is that of loading.
  const dumps = files.map(({ path }) => path).filter((path) => dumpNames.has(basename(path)));
  const paths = dumps.map(shellWord).join(' ');
  if (engine === 'postgresql') {
    return `Load it with pg_restore of PostgreSQL ${version.split('.')[0]} or later:\n  pg_restore --exit-on-error --dbname DATABASE ${paths}`;
  }
  const client = engine === 'mysql' ? 'mysql' : 'mariadb';
  const several = dumps.length > 1 ? ', all files in this order, into an empty database' : ', into an empty database';
  // Without --binary-mode NUL bytes are refused; without --comments routines lose theirs.
  const flags = '--binary-mode --comments --default-character-set=utf8mb4 --max-allowed-packet=1G';
  return `Load it with the ${client} client of version ${version} or later${several}:\n  cat ${paths} | ${client} ${flags} DATABASE`;
}

function shellWord(text: string): string {
  return /^[\w./:@+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
