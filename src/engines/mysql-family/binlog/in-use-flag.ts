/** The low byte of the first event's flags: after the four bytes of the magic and 17 of the event's header. */
const FLAGS_AT = 4 + 17;
const IN_USE = 1;

/**
 * Clears the flag "this file is being written" in the first bytes of a binary log. The server sets it in the active file on its disk, and
 * leaves it set there when it is killed; it neither sends it nor counts it in the event's checksum. So what is stored is the same before
 * and after the file is closed.
 */
export function clearInUseFlag(bytes: Buffer, offset: number): void {
  const at = FLAGS_AT - offset;
  if (at >= 0 && at < bytes.length) bytes.writeUInt8(bytes.readUInt8(at) & ~IN_USE, at);
}
