import { createWriteStream, mkdirSync, renameSync, rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { TidemarkError } from '../../../domain/errors.js';
import type { FetchedOptions } from '../../chain-engine.js';
import type { Brand } from '../brand.js';
import { copyWanted } from './copy-wanted.js';
import { SQL_PARTS } from './load-full.js';
import type { ReplayPlan } from './plan-replay.js';
import { planReplay } from './plan-replay.js';
import { ACCOUNTS_FILE } from './read-accounts.js';

/**
 * The parts of a full and the binary logs to replay over it, which end exactly at the target: what lies behind it is cut off, so that no
 * stop position has to be given. The README says in which order they are loaded, and to which GTID they lead.
 */
export async function writeFiles(
  brand: Brand,
  options: FetchedOptions,
  signal: AbortSignal,
): Promise<{ readme: string }> {
  const [full, ...others] = options.backups;
  if (full === undefined || others.length > 0 || full.kind !== 'full') {
    throw new TidemarkError('backup_not_restorable', `Files of ${brand.title} are written of exactly one full.`);
  }
  const base = join(options.dir, 'base');
  mkdirSync(base, { mode: 0o700 });
  options.onPhase('writing the full');
  for (const part of full.parts) {
    await pipeline(await part.open(signal), createWriteStream(join(base, part.name), { mode: 0o600, flags: 'wx' }));
  }
  const needsLog = options.target.kind !== 'end_of_backup' && options.logEnd !== null;
  options.onPhase('reading the log');
  const plan = needsLog ? await planReplay(brand, options, full, full.cluster.takenAt ?? null) : null;
  const kept = new Map((plan?.files ?? []).map((file) => [file.name, file]));
  for (const { name, bytes } of options.logFiles) {
    const path = join(options.logDir, name);
    const wanted = kept.get(name);
    if (wanted === undefined) rmSync(path);
    else if (wanted.skip !== null) {
      renameSync(path, `${path}.whole`);
      await copyWanted(`${path}.whole`, path, wanted);
      rmSync(`${path}.whole`);
    } else if (wanted.bytes < bytes) truncateSync(path, wanted.bytes);
  }
  const parts = SQL_PARTS.filter((name) => full.parts.some((part) => part.name === name));
  return { readme: readme(brand, options, { base, parts, plan }) };
}

function readme(
  brand: Brand,
  { server, target, logDir }: FetchedOptions,
  { base, parts, plan }: { base: string; parts: readonly string[]; plan: ReplayPlan | null },
): string {
  const mysql = brand.kind === 'mysql';
  const [client, reader] = mysql ? ['mysql', 'mysqlbinlog'] : ['mariadb', 'mariadb-binlog'];
  const flags = '--binary-mode --comments --default-character-set=utf8mb4 --max-allowed-packet=1G';
  const files = (plan?.files ?? []).map(({ name }) => name).join(' ');
  const replay =
    plan === null || plan.count === 0
      ? 'Nothing is to be replayed: the point is that of the full.'
      : `3. Replay ${plan.count} transactions, in one go and with the tools of this version:

  cd ${logDir}
  TZ=UTC ${reader} ${mysql ? '--skip-gtids ' : ''}--disable-log-bin --start-position=${plan.start} ${files} | ${client} --binary-mode

The logs end where the point is: the last transaction is ${plan.lastApplied?.position ?? 'unknown'}${plan.lastApplied?.at ? ` of ${plan.lastApplied.at}` : ''}${plan.firstRefused === null ? '' : `, the first one left out ${plan.firstRefused.position ?? ''} of ${plan.firstRefused.at ?? ''}`}.`;
  const point = target.kind === 'time' ? target.time : target.kind === 'position' ? target.position : target.kind;
  return `${brand.title} ${server.version} of ${server.identity}, to be brought to: ${point}

1. Start an empty server of the same version${mysql ? '' : ' with gtid_strict_mode=0'}, which nobody else can reach, and log in as an administrator
whose name the source does not have: accounts of the same names get the source's passwords.

2. Load the full: accounts first (--force goes on over accounts that are there, plugins that are not, and grants of PROXY), then the
databases in this order.

  ${client} --force ${flags} < ${join(base, ACCOUNTS_FILE)}
  cat ${parts.map((name) => join(base, name)).join(' ')} | ${client} ${flags}
  ${client} --force ${flags} < ${join(base, ACCOUNTS_FILE)}

The second time the grants on what the first one did not find yet are given.

${replay}

- ${join(base, 'counters.json')} holds AUTO_INCREMENT values and sequences at the full's position, where they are higher than the rows say.
- Never replay on a server that holds databases of these names already: the log drops and creates them by name.
`;
}
