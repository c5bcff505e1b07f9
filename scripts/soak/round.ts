import { setTimeout as sleep } from 'node:timers/promises';
import type { EngineProduct } from '../../src/platform/installed.js';
import { hold } from './broken.js';
import { damagedRestore } from './damage.js';
import type { Disturbance } from './disturbances.js';
import { chooseDisturbance, disturb, disturbances } from './disturbances.js';
import { fullDisk, longSelect, yesterdaysCatalog } from './hard-rounds.js';
import { checkInvariants, listBackups } from './invariants.js';
import { verifyLedger } from './ledger.js';
import { createMoments } from './moments.js';
import { createRandom } from './random.js';
import type { Outcome, Watcher } from './runs.js';
import { nobody, restoreBeside, restoreOriginal, revertLast, takeBackup } from './runs.js';
import { deleteOne, downloadAndExtract } from './stored.js';
import type { Subject, World } from './world.js';
import { createSubject, dropSubject, sourceOf } from './world.js';
import type { Writer } from './writer.js';
import { startWriter } from './writer.js';

/** A deletion that met a store cut off is tried five times within about a minute and a half. */
const RETAINED_WITHIN_MS = 180_000;

export const actions = [
  'backup',
  'restore beside',
  'restore to a connection',
  'restore original',
  'revert',
  'delete',
  'download and extract',
  'damaged restore',
  'long select',
  'full disk',
  "yesterday's catalog",
] as const;
export type Action = (typeof actions)[number];

const weights: Record<Action, number> = {
  backup: 30,
  'restore beside': 14,
  'restore to a connection': 6,
  'restore original': 18,
  revert: 8,
  delete: 3,
  'download and extract': 4,
  'damaged restore': 5,
  'long select': 4,
  'full disk': 4,
  "yesterday's catalog": 2,
};

/** During these something may be disturbed; the others disturb by themselves. */
const disturbable: readonly Action[] = [
  'backup',
  'restore beside',
  'restore to a connection',
  'restore original',
  'revert',
  'delete',
];

export type RoundResult = {
  readonly product: EngineProduct;
  readonly action: Action;
  readonly disturbances: readonly { readonly what: Disturbance; readonly text: string }[];
  readonly outcome: Outcome;
  readonly note: string;
  /** Longest transaction of the application in a round that shuts nobody out and kills no source; null otherwise. */
  readonly slowestWriteMs: number | null;
};

/** How long a run of this kind usually takes, so that disturbances meet all of its phases. */
const usual = new Map<string, number>();

/** What the round is going to work on. */
export function roundName(seed: number, round: number, products: readonly EngineProduct[]): string {
  return createRandom(seed, 'round', round).pick(products);
}

export async function runRound(
  world: World,
  seed: number,
  round: number,
  wanted: readonly Action[] = actions,
): Promise<RoundResult> {
  const random = createRandom(seed, 'round', round);
  const product = random.pick([...world.sources.keys()]);
  const source = sourceOf(world, product);
  let subject = world.subjects.get(product);
  if (subject !== undefined && (subject.rounds >= 12 || random.chance(0.05))) {
    await dropSubject(world, subject);
    subject = undefined;
  }
  subject ??= await createSubject(world, product, random);
  subject.rounds += 1;

  const writer = startWriter({
    account: source.account,
    database: subject.name,
    ledger: subject.ledger,
    pauseMs: random.pick([1, 10, 30]),
  });
  const done: { what: Disturbance; text: string }[] = [];
  try {
    await writer.untilCommit(60_000);
    const action = chooseAction(world, subject, random.weighted(wanted.map((one) => [one, weights[one]] as const)));
    const usualKey = `${product} ${action}`;
    const moments = createMoments((usual.get(usualKey) ?? 2_000) * 1.2);
    const count = disturbable.includes(action)
      ? random.weighted([
          [0, 3],
          [1, 6],
          [2, 2],
        ] as const)
      : 0;
    const planned = Array.from({ length: count }, () => ({
      what: chooseDisturbance(
        random,
        disturbances.filter((one) => one !== 'cancel' || (action !== 'revert' && action !== 'delete')),
      ),
      when: moments.choose(random),
    }));

    const cancel = async () => {
      if (moments.path === null) return;
      // 409: it has ended already; 404 cannot be.
      const { status } = await world.service.request('POST', `${moments.path}/cancel`, {});
      hold(status < 400 || status === 409, `POST ${moments.path}/cancel answered ${status}`);
    };
    const disturbing = (async () => {
      for (const { what, when } of planned) {
        const at = await moments.reached(when);
        const text = await disturb(world, source, what, random, cancel);
        done.push({ what, text: `${what}${text ? ` ${text}` : ''} ${at}` });
      }
    })();
    // Awaited below; until then a failure must not count as one that nobody caught.
    disturbing.catch(() => {});

    let result: { outcome: Outcome; note: string };
    try {
      result = await act(world, subject, writer, action, moments, random.next());
    } finally {
      moments.over();
      // Also when the round is lost: what is being started again must not outlive us.
      await disturbing.catch(() => {});
    }
    await disturbing;
    const shortest = Math.min(usual.get(usualKey) ?? Number.POSITIVE_INFINITY, result.outcome.settleMs);
    if (result.outcome.status === 'completed') usual.set(usualKey, shortest);
    await writer.untilCommit(60_000);
    const slowestWriteMs = action === 'restore original' || action === 'revert' ? null : writer.slowestMs;
    const stood = writer.jumps.length;
    await writer.stop();
    const found = await verifyLedger(source.account, subject.name, subject.ledger);
    hold(
      found === writer.acknowledged,
      `the source stands at transaction ${found}; the application had ${writer.acknowledged} acknowledged`,
    );
    hold(
      stood === 0 || action === 'restore original' || action === 'revert',
      `the source was replaced by ${action}: ${JSON.stringify(writer.jumps)}`,
    );
    await checkInvariants(world, source);
    await forgetRetained(world, subject);
    return { product, action, disturbances: done, outcome: result.outcome, note: result.note, slowestWriteMs };
  } finally {
    source.proxy.heal();
    world.storeProxy.heal();
    await writer.stop().catch(() => {});
  }
}

/** What was drawn, or a backup when that cannot be done now. */
function chooseAction(world: World, subject: Subject, drawn: Action): Action {
  if (drawn === 'backup' || drawn === 'long select') return drawn;
  if (drawn === 'full disk') return world.smallDestinationId === null ? 'backup' : drawn;
  if (subject.backups.length === 0) return 'backup';
  if (drawn === 'revert' && subject.revertible === null) return 'restore original';
  return drawn;
}

async function act(
  world: World,
  subject: Subject,
  writer: Writer,
  action: Action,
  watcher: Watcher,
  luck: number,
): Promise<{ outcome: Outcome; note: string }> {
  const chosen = subject.backups[Math.floor(luck * subject.backups.length)];
  const backup = () => {
    if (chosen === undefined) throw new Error('no backup to choose');
    return chosen;
  };
  switch (action) {
    case 'backup': {
      const taken = await takeBackup(world, subject, writer, watcher);
      // A sample is proven at once; the others when a later round restores them.
      if (taken.backup === null || luck > 0.4) return { outcome: taken, note: '' };
      const proof = await restoreBeside(world, subject, taken.backup, 'registered', nobody);
      return { outcome: taken, note: `restored: ${proof.status}${proof.code ? ` ${proof.code}` : ''}` };
    }
    case 'restore beside':
      return { outcome: await restoreBeside(world, subject, backup(), 'registered', watcher), note: '' };
    case 'restore to a connection':
      return { outcome: await restoreBeside(world, subject, backup(), 'connection', watcher), note: '' };
    case 'restore original':
      return { outcome: await restoreOriginal(world, subject, backup(), writer, watcher), note: '' };
    case 'revert':
      watcher.started('');
      return { outcome: await revertLast(world, subject, writer), note: '' };
    case 'delete':
      watcher.started('');
      return { outcome: await deleteOne(world, subject, backup()), note: '' };
    case 'download and extract':
      return { outcome: await downloadAndExtract(world, backup()), note: '' };
    case 'damaged restore':
      return await damagedRestore(world, subject, backup(), luck);
    case 'long select':
      return await longSelect(world, subject, writer, luck);
    case 'full disk':
      return await fullDisk(world, subject, writer, luck);
    case "yesterday's catalog":
      return await yesterdaysCatalog(world, subject, writer);
  }
}

/** Retention has removed some of them; where the store was away meanwhile, after its next try. */
async function forgetRetained(world: World, subject: Subject): Promise<void> {
  const deadline = Date.now() + RETAINED_WITHIN_MS;
  for (;;) {
    const there = new Set((await listBackups(world)).map((row) => row.id));
    subject.backups = subject.backups.filter((backup) => there.has(backup.id));
    const kept = subject.backups.filter((backup) => backup.planId === subject.planId).length;
    if (kept <= 5) return;
    hold(Date.now() < deadline, `the plan keeps 5 backups by its retention; there are ${kept}`);
    await sleep(1_000);
  }
}
