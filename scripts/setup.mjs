// Makes this checkout ready to run: npm packages, the generated Prisma client, database engines, Temporal, the S3 store.
//
//   node scripts/setup.mjs [--for demo|start|test|bench|soak|ci|doctor|packages]
//
// Called before every npm script that runs Tidemark. It depends on nothing but Node 20, because it is what installs the rest.
// When everything is there it only looks (well under a second).
//
// Why not plain `npm ci` in a hook: two of them at once break each other, and one started later deletes node_modules under a running
// Tidemark. So it runs under a lock the kernel releases, only when the tree differs from the lock file, and not under a running one.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = realpathSync(dirname(dirname(fileURLToPath(import.meta.url))));
const modules = join(root, 'node_modules');
const stampFile = join(modules, '.tidemark-setup.json');
const purpose = process.argv[2] === '--for' ? process.argv[3] : 'start';
const inCi = Boolean(process.env.CI) && process.env.CI !== 'false';
const startedAt = Date.now();

/** Node from our own node_modules comes first on an npm script's PATH; what installs that tree must not run from it. */
const hostPath = (process.env.PATH ?? '')
  .split(delimiter)
  .filter((dir) => !dir.replace(/\/+$/, '').endsWith('node_modules/.bin'))
  .join(delimiter);

const say = (text) => process.stderr.write(`setup: ${text}\n`);
function stop(text) {
  say(text);
  process.exit(1);
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

function hash(paths) {
  const sum = createHash('sha256');
  for (const path of paths) sum.update(existsSync(path) ? readFileSync(path) : '').update('\0');
  return sum.digest('hex');
}

// ---- what is there ----

const nodeProgram = join(modules, 'node', 'bin', 'node');
const packagesKey = () => hash([join(root, 'package-lock.json')]);
const prismaSchema = join(root, 'prisma', 'schema.prisma');
const prismaKey = () => hash([prismaSchema, join(modules, 'prisma', 'package.json')]);

function stamp() {
  return readJson(stampFile) ?? {};
}
function addToStamp(part) {
  writeFileSync(stampFile, `${JSON.stringify({ ...stamp(), ...part })}\n`);
}

/** True when npm itself recorded exactly the lock file's packages: `npm ci` or `npm install` was run by hand. */
function npmRecordedTheLockFile() {
  const wanted = readJson(join(root, 'package-lock.json'))?.packages;
  const present = readJson(join(modules, '.package-lock.json'))?.packages;
  if (!wanted || !present) return false;
  for (const [name, entry] of Object.entries(wanted)) {
    if (name === '') continue;
    const found = present[name];
    if (found ? found.version !== entry.version || found.integrity !== entry.integrity : !entry.optional) return false;
  }
  return Object.keys(present).every((name) => name in wanted);
}

/** Node 24 is one of our packages; its install script fetches the program, so a tree installed without scripts lacks it. */
function hasNode24() {
  return (
    existsSync(nodeProgram) &&
    /^v(2[4-9]|[3-9]\d)\./.test(spawnSync(nodeProgram, ['--version'], { encoding: 'utf8' }).stdout ?? '')
  );
}

function packagesReady() {
  if (stamp().packages === packagesKey()) return existsSync(nodeProgram);
  if (!npmRecordedTheLockFile() || !hasNode24()) return false;
  addToStamp({ packages: packagesKey() });
  return true;
}

function prismaReady() {
  if (!existsSync(prismaSchema)) return true;
  return stamp().prisma === prismaKey() && existsSync(generatedClient());
}
function generatedClient() {
  const output =
    /^\s*output\s*=\s*"([^"]+)"/m.exec(readFileSync(prismaSchema, 'utf8'))?.[1] ?? '../src/catalog/generated';
  return join(root, 'prisma', output, 'client.ts');
}

// ---- installing ----

/** Runs a command whose words go to stderr, so that the stdout of the main command stays its own. `fd` is inherited as 3. */
function run(command, args, env = {}, fd = undefined) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      stdio: ['ignore', 2, 2, ...(fd === undefined ? [] : [fd])],
      env: { ...process.env, PATH: hostPath, ...env },
    });
    child.on('error', (error) => {
      say(`${command} could not be started: ${error.message}`);
      resolve(127);
    });
    child.on('close', (code) => resolve(code ?? 1));
  });
}

/**
 * Locks the checkout's folder itself: a lock file inside would need a place that nothing deletes. The lock belongs to the open file, which
 * children inherit: when this process is killed, the next run waits for its `npm ci` to end.
 */
function lockCheckout() {
  const fd = openSync(root, 'r');
  const flock = (...args) => spawnSync('flock', [...args, '3'], { stdio: ['ignore', 'inherit', 'inherit', fd] });
  const first = flock('--nonblock');
  if (first.error) stop(`needs the program flock (Debian package util-linux): ${first.error.message}`);
  if (first.status !== 0) {
    say('waiting for another setup of this checkout');
    flock();
  }
  return fd;
}

/** Processes that run on this checkout's Node: `npm ci` would delete the program and the packages under them. */
function runningFromHere() {
  const found = [];
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    try {
      const program = readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, '');
      if (!program.startsWith(`${modules}/`) || !/\/node$/.test(program)) continue;
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter(Boolean);
      if (words.some((word) => word.endsWith('scripts/setup.mjs'))) continue;
      found.push(`${pid} (${words.slice(1, 6).join(' ').slice(0, 80)})`);
    } catch {
      // It ended meanwhile, or belongs to another user.
    }
  }
  return found;
}

async function installPackages(fd) {
  const running = existsSync(modules) ? runningFromHere() : [];
  if (running.length > 0) {
    stop(
      `the npm packages have to be installed anew, but a Tidemark of this checkout runs from them; stop it first: ${running.join(', ')}`,
    );
  }
  say('installing npm packages');
  // --include=dev: also under NODE_ENV=production. --ignore-scripts=false: the Node package fetches its program by a script.
  const code = await run(
    'npm',
    ['ci', '--include=dev', '--ignore-scripts=false', '--no-fund', '--no-audit', '--loglevel=error'],
    PRISMA_OFFLINE,
    fd,
  );
  if (code !== 0) stop(`npm ci failed with code ${code}; its message is above`);
  if (!hasNode24())
    stop('the npm package "node" was installed without its program; run: npm ci --include=dev --ignore-scripts=false');
  addToStamp({ packages: packagesKey() });
}

/** The engine that the Prisma CLI would download is not needed: migrations run on its WebAssembly build, taken from npm. */
const PRISMA_OFFLINE = {
  PRISMA_SCHEMA_ENGINE_BINARY: '/bin/true',
  PRISMA_HIDE_UPDATE_MESSAGE: '1',
  CHECKPOINT_DISABLE: '1',
};

function generatePrisma() {
  say('generating the Prisma client');
  const done = spawnSync(nodeProgram, [join(modules, 'prisma', 'build', 'index.js'), 'generate', '--no-hints'], {
    cwd: root,
    env: { ...process.env, ...PRISMA_OFFLINE },
    encoding: 'utf8',
  });
  if (done.status !== 0) {
    process.stderr.write(`${done.stdout ?? ''}${done.stderr ?? ''}`);
    stop(`prisma generate failed with code ${done.status}; its message is above`);
  }
  addToStamp({ prisma: prismaKey() });
}

/**
 * `npx tidemark` in a checkout. npm links only the commands of dependencies, never the checkout's own, and npx would then run a command that is
 * not there. The caller's folder stays the working directory, and Node is ours, whichever one runs npx.
 */
function provideCommand() {
  const command = join(modules, '.bin', 'tidemark');
  const text = `#!/bin/sh
# Written by scripts/setup.mjs.
root=$(realpath "$(dirname "$(realpath "$0")")/../..")
exec "$root/node_modules/node/bin/node" --import "$root/scripts/typescript.mjs" "$root/src/cli/main.ts" "$@"
`;
  if (existsSync(command) && readFileSync(command, 'utf8') === text) return;
  // Two setups may come here at once: each puts a whole file in place.
  writeFileSync(`${command}.${process.pid}`, text, { mode: 0o755 });
  renameSync(`${command}.${process.pid}`, command);
}

/** Engines and tools have their own locks: their cache is shared by every checkout of this user. */
async function installServers() {
  const tools = [
    'temporal',
    'versitygw',
    ...(['test', 'soak', 'ci'].includes(purpose) ? ['temporal-test-server'] : []),
  ];
  const script = (name) => join(root, 'scripts', name);
  // The bench measures beside pgBackRest; naming one product means naming all.
  const products = purpose === 'bench' ? ['pg15', 'pg17', 'pg18', 'mysql', 'mariadb', 'mariadb1011', 'pgbackrest'] : [];
  const [engines, toolsCode] = await Promise.all([
    run('bash', [script('install-engines.sh'), '--quiet', ...products]),
    run('bash', [script('install-tools.sh'), '--quiet', ...tools]),
  ]);
  if (toolsCode !== 0)
    stop(
      'a tool could not be installed; the lines above say which and why. What was finished is kept: run the command again',
    );
  if (engines !== 0 && inCi) stop('a database engine could not be installed; the lines above say which and why');
  if (engines !== 0)
    say('going on without the database engines named FAILED above; run the command again to try once more');
}

// ---- main ----

if (Number(process.versions.node.split('.')[0]) < 20)
  stop(`needs Node 20 or later to start, this is ${process.version}`);
if (!packagesReady() || !prismaReady()) {
  const fd = lockCheckout();
  if (!packagesReady()) await installPackages(fd);
  if (!prismaReady()) generatePrisma();
}
provideCommand();
if (purpose !== 'doctor' && purpose !== 'packages') await installServers();
const seconds = Math.round((Date.now() - startedAt) / 1000);
if (seconds >= 2) say(`ready after ${seconds} s`);
