import { TidemarkError } from '../../domain/errors.js';
import type { ServerIdentity } from '../../domain/positions.js';
import type { Brand } from './brand.js';
import { placeOf } from './failures.js';
import type { Session } from './session.js';

/** Identity and version; refuses a server of the other brand. */
export async function readServer(session: Session, brand: Brand): Promise<ServerIdentity> {
  const version = (await session.value('SELECT VERSION()')) ?? '';
  const major = brand.majorOf(version);
  if (major === null) {
    throw new TidemarkError(
      'server_version_unsupported',
      `The server at ${placeOf(session.connection)} is "${version}", not ${brand.title}: register it under its own engine.`,
      { object: version },
    );
  }
  return { engine: brand.kind, identity: await brand.identity(session), version, major };
}

/** RFC 3339 with microseconds, by the server's clock. */
export async function readClock(session: Session): Promise<string> {
  const text = (await session.value('SELECT UTC_TIMESTAMP(6)')) ?? '';
  return `${text.replace(' ', 'T')}Z`;
}
