/**
 * The few kinds of events of a binary log that tell where transactions begin and end, and what is read from them. Numbers and layouts are
 * those of the servers' own event classes; everything is little endian, lengths include the 19 bytes of the header.
 */
export const eventTypes = {
  query: 2,
  stop: 3,
  rotate: 4,
  formatDescription: 15,
  xid: 16,
  executeLoadQuery: 18,
  incident: 26,
  gtid: 33,
  anonymousGtid: 34,
  previousGtids: 35,
  xaPrepare: 38,
  transactionPayload: 40,
  taggedGtid: 42,
  mariadbGtid: 162,
  mariadbGtidList: 163,
  mariadbStartEncryption: 164,
  mariadbQueryCompressed: 165,
} as const;

export const HEADER_BYTES = 19;
/** First bytes of every binary log; an encrypted one of MySQL begins with others. */
export const MAGIC = Buffer.from([0xfe, 0x62, 0x69, 0x6e]);
export const ENCRYPTED_MAGIC = Buffer.from([0xfd, 0x62, 0x69, 0x6e]);

export type EventHeader = {
  /** Seconds since 1970. */
  readonly timestamp: number;
  readonly type: number;
  readonly serverId: number;
  /** Bytes, header and checksum included. */
  readonly size: number;
};

export function readHeader(bytes: Buffer): EventHeader {
  return {
    timestamp: bytes.readUInt32LE(0),
    type: bytes.readUInt8(4),
    serverId: bytes.readUInt32LE(5),
    size: bytes.readUInt32LE(9),
  };
}

/** True when every event ends with four bytes of CRC-32: the byte before the description's own checksum says so. */
export function readChecksumFlag(body: Buffer): boolean {
  const algorithm = body.readUInt8(body.length - 5);
  if (algorithm > 1) throw new Error(`Unknown checksum algorithm ${algorithm} of a binary log`);
  return algorithm === 1;
}

/** Text of a statement; the body is without checksum. */
export function readQuery(body: Buffer): { readonly database: string; readonly text: string } {
  const at = textStart(body);
  return { database: body.toString('utf8', at - body.readUInt8(8) - 1, at - 1), text: body.toString('utf8', at) };
}

/** Where in a statement's event its text begins: behind its variables, and the database with a zero byte. */
export const textStart = (body: Buffer): number => 13 + body.readUInt16LE(11) + body.readUInt8(8) + 1;

/** Name of the next file; the body is without checksum. */
export const readRotate = (body: Buffer): string => body.toString('utf8', 8);

export type GtidEvent = {
  readonly gtid: string;
  /** Microseconds since 1970, by the clock of the server whose log it is. */
  readonly commitTimeMicros: bigint;
  /** By the clock of the server on which it was committed first. */
  readonly originTimeMicros: bigint;
};
