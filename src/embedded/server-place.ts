import { createHash } from 'node:crypto';
import { realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { canOthersReach, makeEnterableDir, serverUser } from '../platform/run-as.js';

/** Where root keeps the data of servers that belong to a home others cannot enter. */
const OUTSIDE = '/var/lib/tidemark';

/**
 * The folder below which database servers of `home` keep their data: `home` itself, or, when root starts them as another user who cannot
 * enter it (a home below /root), a folder outside whose name is made from the home's.
 */
export function placeForServers(home: string): string {
  const user = serverUser();
  makeEnterableDir(user, home);
  if (user === undefined || canOthersReach(home)) return home;
  const real = realpathSync(home);
  const place = join(OUTSIDE, createHash('sha256').update(real).digest('hex').slice(0, 16));
  makeEnterableDir(user, place);
  // For a person who wonders whose this is, after the home was deleted.
  writeFileSync(join(place, 'home'), `${real}\n`, { mode: 0o600 });
  return place;
}
