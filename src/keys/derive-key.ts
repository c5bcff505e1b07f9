import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { KEY_BYTES } from './encryption-sdk.js';
import type { WrappingKey } from './types.js';

/**
 * The HMAC-SHA-256 (hex) of a manifest's canonical text. The key is derived from the wrapping key by HKDF-SHA-256 under a label of its
 * own: the wrapping key itself only ever wraps data keys.
 */
export function manifestMac(key: WrappingKey, canonicalText: string): string {
  const derived = hkdfSync('sha256', key.bytes, new Uint8Array(0), 'tidemark manifest mac v1', KEY_BYTES);
  return createHmac('sha256', Buffer.from(derived)).update(canonicalText, 'utf8').digest('hex');
}

/** Compares two hex MACs without telling by its time how much of them agrees. */
export function sameMac(left: string, right: string): boolean {
  const a = Buffer.from(left, 'hex');
  const b = Buffer.from(right, 'hex');
  return a.length === 32 && a.length === b.length && timingSafeEqual(a, b);
}
