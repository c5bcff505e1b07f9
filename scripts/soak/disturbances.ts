import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findDescendants, markProcess, signalProcess } from '../../src/platform/processes.js';
import type { Random } from './random.js';
import type { Source, World } from './world.js';

export const disturbances = [
  'kill worker',
  'kill temporal',
  'kill database',
  'kill s3',
  'kill up',
  'stop worker',
  'cut source',
  'cut store',
  'lose temporal',
  'cancel',
] as const;
export type Disturbance = (typeof disturbances)[number];

const weights: Record<Disturbance, number> = {
  'kill worker': 5,
  'kill temporal': 2,
  'kill database': 2,
  'kill s3': 2,
  'kill up': 2,
  'stop worker': 2,
  'cut source': 4,
  'cut store': 3,
  'lose temporal': 1,
  cancel: 3,
};

export function chooseDisturbance(random: Random, possible: readonly Disturbance[] = disturbances): Disturbance {
  return random.weighted(possible.map((name) => [name, weights[name]] as const));
}

/** Does it, and puts everything that does not heal by itself right again before it resolves; what was done in a few words. */
export async function disturb(
  world: World,
  source: Source,
  what: Disturbance,
  random: Random,
  cancel: () => Promise<void>,
): Promise<string> {
  const { service } = world;
  switch (what) {
    case 'kill worker':
    case 'kill temporal':
    case 'kill database':
    case 'kill s3':
      return signalComponent(world, what.slice(5), 'SIGKILL') ? '' : '(was down)';
    case 'kill up':
      await service.killAndRestart();
      return '';
    case 'lose temporal':
      await service.killAndRestart(() => rmSync(join(service.home, 'temporal'), { recursive: true, force: true }));
      return '';
    case 'stop worker': {
      const pid = service.process.run().pids.worker;
      if (!signalComponent(world, 'worker', 'SIGSTOP')) return '(was down)';
      const seconds = random.int(22, 40);
      await sleep(seconds * 1000);
      // By its own id: the supervisor may have started another one meanwhile, which must not be the one that is woken.
      if (pid !== undefined && isOurs(world, pid)) process.kill(pid, 'SIGCONT');
      return `${seconds} s`;
    }
    case 'cut source':
    case 'cut store': {
      const proxy = what === 'cut source' ? source.proxy : world.storeProxy;
      const how = random.pick(['cut', 'refuse', 'stall'] as const);
      const seconds = how === 'cut' ? 0 : random.int(1, 25);
      proxy[how]();
      await sleep(seconds * 1000);
      proxy.heal();
      return how === 'cut' ? 'once' : `${how} ${seconds} s`;
    }
    case 'cancel':
      await cancel();
      return '';
  }
}

/** False when it is down at the moment. Only processes below our own service are ever signalled: ids of dead ones are given away again. */
export function signalComponent(world: Pick<World, 'service'>, name: string, signal: NodeJS.Signals): boolean {
  const pid = world.service.process.run().pids[name];
  if (pid === undefined || !isOurs(world, pid)) return false;
  const mark = markProcess(pid);
  if (mark === null) return false;
  signalProcess(mark, signal);
  return true;
}

function isOurs(world: Pick<World, 'service'>, pid: number): boolean {
  const up = world.service.process.run().pids.up;
  return up !== undefined && findDescendants(up).some((mark) => mark.pid === pid);
}
