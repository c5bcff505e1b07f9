import { KEY_BYTES } from './encryption-sdk.js';

/** A key as text: 32 bytes in base64, the form in which master keys are kept and shown. */
export function formatKey(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

/** Reads a key from base64 (also the URL form) or 64 hex digits, white space around it ignored; null when it is neither. */
export function parseKey(text: string): Uint8Array | null {
  const trimmed = text.trim();
  if (/^[0-9a-fA-F]{64}$/.test(trimmed)) return Uint8Array.from(Buffer.from(trimmed, 'hex'));
  if (!/^[A-Za-z0-9+/_-]{43}=?$/.test(trimmed)) return null;
  const bytes = Buffer.from(trimmed, 'base64');
  return bytes.length === KEY_BYTES ? Uint8Array.from(bytes) : null;
}
