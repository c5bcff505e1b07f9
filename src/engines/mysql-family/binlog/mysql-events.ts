import type { GtidEvent } from './events.js';
import { GtidSet } from './gtid-set.js';

export type MysqlGtidEvent = GtidEvent & {
  /** Bytes of the whole transaction, this event included. */
  readonly transactionLength: number;
};

const uuidText = (hex: string) =>
  `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;

/** A length as in the client protocol: one byte, or a marker and two, three or eight. */
function packedLength(body: Buffer, at: number): number {
  const first = body.readUInt8(at);
  if (first < 251) return first;
  if (first === 252) return body.readUInt16LE(at + 1);
  if (first === 253) return body.readUIntLE(at + 1, 3);
  return Number(body.readBigUInt64LE(at + 1));
}

/**
 * The event before each transaction (type 33): flags, source's uuid, number, two logical clocks, then the time of the commit on the server
 * whose log this is, the time on the origin when that is another server, and the length.
 */
export function readGtid(body: Buffer): MysqlGtidEvent {
  const uuid = uuidText(body.toString('hex', 1, 17));
  const number = body.readBigInt64LE(17);
  // Without the logical clocks it was written by a server before 8.0, which tells no commit time.
  if (body.length < 50 || body.readUInt8(25) !== 2) throw new Error('A GTID event without a commit time');
  const timeAt = (offset: number) => body.readUIntLE(offset, 6) + (body.readUInt8(offset + 6) & 0x7f) * 2 ** 48;
  const isReplicated = (body.readUInt8(48) & 0x80) !== 0;
  const at = isReplicated ? 56 : 49;
  const original = isReplicated ? timeAt(49) : 0;
  return {
    gtid: `${uuid}:${number}`,
    commitTimeMicros: BigInt(timeAt(42)),
    originTimeMicros: BigInt(original === 0 ? timeAt(42) : original),
    transactionLength: packedLength(body, at),
  };
}

/** Reads the servers' serialised messages: whole numbers whose length stands in the low bits of their first byte. */
class FieldReader {
  private at = 0;
  private readonly body: Buffer;

  constructor(body: Buffer) {
    this.body = body;
  }

  get ended(): boolean {
    return this.at >= this.body.length;
  }

  /** n low one-bits and a zero say: n more bytes follow. */
  number(): bigint {
    const first = this.body.readUInt8(this.at);
    let more = 0;
    while (more < 8 && ((first >> more) & 1) === 1) more += 1;
    const length = more + 1;
    if (more === 8) {
      const value = this.body.readBigUInt64LE(this.at + 1);
      this.at += 9;
      return value;
    }
    let value = 0n;
    for (let index = length - 1; index >= 0; index--)
      value = (value << 8n) | BigInt(this.body.readUInt8(this.at + index));
    this.at += length;
    return value >> BigInt(length);
  }

  /** The sign is the lowest bit. */
  signed(): bigint {
    const value = this.number();
    return (value & 1n) === 1n ? -(value >> 1n) - 1n : value >> 1n;
  }

  bytes(length: number): Buffer {
    const part = this.body.subarray(this.at, this.at + length);
    if (part.length < length) throw new Error('A message of a binary log is cut off');
    this.at += length;
    return part;
  }
}

const fields = {
  flags: 0,
  uuid: 1,
  number: 2,
  tag: 3,
  lastCommitted: 4,
  sequence: 5,
  immediateCommit: 6,
  originalCommit: 7,
  transactionLength: 8,
} as const;

/** As `readGtid`, for the event of type 42 that 8.3 and later write for transactions with a tag. */
export function readTaggedGtid(body: Buffer): MysqlGtidEvent {
  const reader = new FieldReader(body);
  const version = reader.number();
  if (version !== 1n) throw new Error(`A tagged GTID event of the unknown version ${version}`);
  // Size of the message, and the last field that must be understood.
  reader.number();
  reader.number();
  let uuid = '';
  let tag = '';
  let number = 0n;
  let commit: bigint | null = null;
  let original = 0n;
  let length: bigint | null = null;
  while (!reader.ended && length === null) {
    const field = Number(reader.number());
    switch (field) {
      case fields.flags:
        reader.number();
        break;
      case fields.originalCommit:
        original = reader.number();
        break;
      case fields.uuid:
        for (let index = 0; index < 16; index++) uuid += reader.number().toString(16).padStart(2, '0');
        break;
      case fields.number:
        number = reader.signed();
        break;
      case fields.tag:
        tag = reader.bytes(Number(reader.number())).toString('latin1');
        break;
      case fields.lastCommitted:
      case fields.sequence:
        reader.signed();
        break;
      case fields.immediateCommit:
        commit = reader.number();
        break;
      case fields.transactionLength:
        length = reader.number();
        break;
      default:
        throw new Error(`A tagged GTID event with the unknown field ${field}`);
    }
  }
  if (commit === null || length === null || uuid.length !== 32) throw new Error('A tagged GTID event is incomplete');
  return {
    gtid: `${uuidText(uuid)}:${tag === '' ? '' : `${tag}:`}${number}`,
    commitTimeMicros: commit,
    originTimeMicros: original === 0n ? commit : original,
    transactionLength: Number(length),
  };
}

/** Everything executed before the file, from its second event. */
export function readPreviousGtids(body: Buffer): GtidSet {
  const set = new GtidSet();
  // Sets with tags carry a 1 in the first and the last byte of the count, and the count between.
  const tagged = body.readUInt8(7) === 1;
  let left = tagged ? body.readUIntLE(1, 6) : Number(body.readBigUInt64LE(0));
  let at = 8;
  for (; left > 0; left--) {
    const uuid = uuidText(body.toString('hex', at, at + 16));
    at += 16;
    let source = uuid;
    if (tagged) {
      const length = body.readUInt8(at) >> 1;
      if (length > 0) source = `${uuid}:${body.toString('latin1', at + 1, at + 1 + length)}`;
      at += 1 + length;
    }
    let intervals = Number(body.readBigUInt64LE(at));
    at += 8;
    for (; intervals > 0; intervals--) {
      set.addRange(source, body.readBigInt64LE(at), body.readBigInt64LE(at + 8) - 1n);
      at += 16;
    }
  }
  return set;
}
