import type { EventHeader, GtidEvent } from './events.js';

/** The transaction is one statement without a closing event. */
const STANDALONE = 1;

export type MariadbGtidEvent = GtidEvent & { readonly standalone: boolean };

/** The event before each transaction (type 162). Its only time is that of the header: whole seconds. */
export function readMariadbGtid(header: EventHeader, body: Buffer): MariadbGtidEvent {
  const time = BigInt(header.timestamp) * 1_000_000n;
  return {
    gtid: `${body.readUInt32LE(8)}-${header.serverId}-${body.readBigUInt64LE(0)}`,
    commitTimeMicros: time,
    // A replica passes it on as it is.
    originTimeMicros: time,
    standalone: (body.readUInt8(12) & STANDALONE) !== 0,
  };
}

/** The last transaction of every server and domain before the file (type 163), the newest of a domain last. */
export function readGtidList(body: Buffer): string[] {
  const count = body.readUInt32LE(0) & 0x0fffffff;
  const list: string[] = [];
  for (let index = 0; index < count; index++) {
    const at = 4 + index * 16;
    list.push(`${body.readUInt32LE(at)}-${body.readUInt32LE(at + 4)}-${body.readBigUInt64LE(at + 8)}`);
  }
  return list;
}
