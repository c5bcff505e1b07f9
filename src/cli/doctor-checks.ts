import { constants } from 'node:fs';
import { access, readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { delimiter, dirname, join } from 'node:path';
import type { Config } from '../config.js';
import { inheritedEnvironment } from '../config.js';
import type { EngineProduct, ToolName } from '../platform/installed.js';
import {
  engineBinDir,
  engineProducts,
  engineProductTitles,
  engineRoot,
  engineVersion,
  toolNames,
  toolPath,
} from '../platform/installed.js';

/** One line of the doctor. `wanting`: Tidemark runs without it, but does less. `missing`: it cannot run. */
export type Finding = {
  readonly area: 'host' | 'engines' | 'tools' | 'service';
  readonly name: string;
  readonly state: 'ok' | 'wanting' | 'missing';
  /** What is there, or what is lost without it. */
  readonly detail: string;
  /** The next step; null when nothing is to be done. */
  readonly remedy: string | null;
};

const GET_ALL = 'npm run setup';

const ok = (area: Finding['area'], name: string, detail: string): Finding => ({
  area,
  name,
  state: 'ok',
  detail,
  remedy: null,
});

function onPath(program: string): Promise<string | null> {
  const folders = (inheritedEnvironment().PATH ?? '').split(delimiter).concat('/usr/sbin', '/sbin');
  return folders.reduce<Promise<string | null>>(async (found, folder) => {
    const before = await found;
    if (before !== null) return before;
    const path = join(folder, program);
    return await access(path, constants.X_OK).then(
      () => path,
      () => null,
    );
  }, Promise.resolve(null));
}

async function checkHost(): Promise<Finding[]> {
  const findings: Finding[] = [
    Number(process.versions.node.split('.')[0]) >= 24
      ? ok('host', 'Node', process.version)
      : {
          area: 'host',
          name: 'Node',
          state: 'missing',
          detail: `${process.version}, needs 24 or later`,
          remedy: GET_ALL,
        },
  ];
  const programs = [
    ['setpriv', 'util-linux', 'missing', 'ends child processes with their parent'],
    ['flock', 'util-linux', 'wanting', 'needed by npm run setup'],
    ['apt-get', 'apt', 'wanting', 'needed to install engines'],
    ['zstd', 'zstd', 'wanting', 'recoveries of PostgreSQL are faster with it'],
  ] as const;
  for (const [program, debianPackage, state, use] of programs) {
    const path = await onPath(program);
    findings.push(
      path === null
        ? { area: 'host', name: program, state, detail: use, remedy: `apt-get install ${debianPackage}` }
        : ok('host', program, path),
    );
  }
  const zones = await access('/usr/share/zoneinfo').then(
    () => true,
    () => false,
  );
  findings.push(
    zones
      ? ok('host', 'time zones', '/usr/share/zoneinfo')
      : {
          area: 'host',
          name: 'time zones',
          state: 'wanting',
          detail: 'sandboxes know UTC only',
          remedy: 'apt-get install tzdata',
        },
  );
  return findings;
}

function checkEngines(config: Config): Finding[] {
  const findings = engineProducts.map((product: EngineProduct): Finding => {
    const root = engineRoot(product, config.install);
    const title = engineProductTitles[product];
    if (root === null) {
      const detail = 'its databases need these client programs, or the same major on the PATH';
      return {
        area: 'engines',
        name: title,
        state: 'wanting',
        detail,
        remedy: `${GET_ALL} (or scripts/install-engines.sh ${product})`,
      };
    }
    return ok('engines', title, `${engineVersion(product, root) ?? 'version unknown'}, ${engineBinDir(product, root)}`);
  });
  const catalog = engineRoot('pg18', config.install) ?? engineRoot('pg17', config.install);
  if (catalog === null && config.databaseUrl === undefined) {
    findings.push({
      area: 'engines',
      name: 'catalog',
      state: 'missing',
      detail: 'neither PostgreSQL 17 or 18 nor DATABASE_URL',
      remedy: `${GET_ALL}, or set DATABASE_URL`,
    });
  }
  return findings;
}

const toolUses: Record<ToolName, { use: string; replacedBy: string | null }> = {
  temporal: { use: 'Temporal server and Web UI of `tidemark up`', replacedBy: 'TEMPORAL_ADDRESS' },
  versitygw: { use: 'S3 store of `tidemark up`; destinations elsewhere do not need it', replacedBy: null },
  'temporal-test-server': { use: 'only for npm test', replacedBy: null },
};

function checkTools(config: Config): Finding[] {
  return toolNames.map((name): Finding => {
    const path = toolPath(name, config.install);
    if (path !== null) return ok('tools', name, path);
    const { use, replacedBy } = toolUses[name];
    const replaced = name === 'temporal' && config.temporal.address !== undefined;
    return {
      area: 'tools',
      name,
      state: name === 'temporal' && !replaced ? 'missing' : 'wanting',
      detail: use,
      remedy: `${GET_ALL}${replacedBy === null || replaced ? '' : `, or set ${replacedBy}`}`,
    };
  });
}

/** True when something accepts a connection there within two seconds. */
function answers(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (good: boolean) => {
      socket.destroy();
      resolve(good);
    };
    socket.setTimeout(2_000, () => end(false));
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}

async function checkAddress(name: string, address: string, defaultPort: number): Promise<Finding> {
  const url = URL.parse(address.includes('://') ? address : `tcp://${address}`);
  const host = url?.hostname.replace(/^\[|\]$/g, '') ?? '';
  const port = Number(url?.port || defaultPort);
  if (await answers(host, port)) return ok('service', name, `answers at ${host}:${port}`);
  return {
    area: 'service',
    name,
    state: 'missing',
    detail: `does not answer at ${host}:${port}`,
    remedy: `start it, or correct ${name}`,
  };
}

/** The nearest folder on the way to `path` that is there. */
async function nearest(path: string): Promise<string> {
  return await access(path).then(
    () => path,
    () => (dirname(path) === path ? path : nearest(dirname(path))),
  );
}

async function checkService(config: Config): Promise<Finding[]> {
  const findings: Finding[] = [];
  const folder = await nearest(config.home);
  findings.push(
    await access(folder, constants.W_OK).then(
      () => ok('service', 'TIDEMARK_HOME', config.home),
      (): Finding => ({
        area: 'service',
        name: 'TIDEMARK_HOME',
        state: 'missing',
        detail: `${folder} is not writable`,
        remedy: 'set TIDEMARK_HOME',
      }),
    ),
  );
  const run = await readFile(join(config.home, 'run.json'), 'utf8').then(
    (text) => JSON.parse(text) as { api?: string },
    () => null,
  );
  if (typeof run?.api === 'string') {
    const ready = await fetch(new URL('/readyz', run.api), { signal: AbortSignal.timeout(3_000) }).then(
      (response) => (response.ok ? 'ready' : `answers ${response.status}`),
      () => 'does not answer; it was killed, or is just starting',
    );
    findings.push(
      ready === 'ready'
        ? ok('service', 'running', `ready at ${run.api}`)
        : { area: 'service', name: 'running', state: 'wanting', detail: `${run.api} ${ready}`, remedy: 'npm start' },
    );
  } else findings.push(ok('service', 'running', 'no (npm start starts it)'));
  if (config.databaseUrl !== undefined) findings.push(await checkAddress('DATABASE_URL', config.databaseUrl, 5432));
  if (config.temporal.address !== undefined)
    findings.push(await checkAddress('TEMPORAL_ADDRESS', config.temporal.address, 7233));
  if (config.smtp.url !== undefined) {
    findings.push(await checkAddress('SMTP_URL', config.smtp.url, config.smtp.url.startsWith('smtps:') ? 465 : 25));
  }
  return findings;
}

/** Looks at everything Tidemark needs; reads only, changes nothing, and never throws for what it finds. */
export async function runDoctorChecks(config: Config): Promise<Finding[]> {
  return [...(await checkHost()), ...checkEngines(config), ...checkTools(config), ...(await checkService(config))];
}
