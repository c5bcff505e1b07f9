import { createHash } from 'node:crypto';
import type { Tools } from '../../shared/find-tools.js';
import { requireTools } from '../../shared/find-tools.js';
import type { Brand } from '../brand.js';

/** Throws `tools_missing` naming brand and major: another brand's program fails in the login. */
export function requireLogProgram(brand: Brand, major: string, toolRoots: readonly string[]): Promise<Tools> {
  return requireTools({
    brand: brand.kind,
    // The client is asked for its version: MariaDB 10.11's own program for the log only knows that of its format.
    programs: [brand.clientProgram, brand.logProgram],
    accept: (version) => version.startsWith(`${major}.`),
    toolRoots,
    what: `${brand.title} ${major} program for the binary log`,
  });
}

/**
 * The id under which an archive's receiver registers at the server. The same for one archive always: of two with one id the server ends the
 * older, which is one that a lost worker left behind. Beyond the numbers that people and automations give to servers.
 */
export function receiverServerId(slot: string): number {
  return 0x4000_0000 + (createHash('sha256').update(slot).digest().readUInt32BE(0) & 0x3fff_ffff);
}
