import { z } from 'zod';
import { TidemarkError } from '../domain/errors.js';
import { formatKey, parseKey } from './key-text.js';
import type { WrappingKey } from './types.js';

const schema = z.object({
  format: z.literal('tidemark-wrapping-key-1'),
  keyId: z.string(),
  key: z.string(),
});

/**
 * A wrapping key in the clear, as the JSON text that `tidemark keys export` writes and `tidemark extract` reads: whoever holds it and the
 * destination can read every backup made under it.
 */
export function formatExportedKey(key: WrappingKey): string {
  const content: z.infer<typeof schema> = {
    format: 'tidemark-wrapping-key-1',
    keyId: key.id,
    key: formatKey(key.bytes),
  };
  return `${JSON.stringify(content, null, 2)}\n`;
}

/** Reads what `formatExportedKey` wrote. Throws `key_missing` when the text is something else. */
export function parseExportedKey(text: string): WrappingKey {
  const wrong = () =>
    new TidemarkError('key_missing', 'The file is not a wrapping key exported by `tidemark keys export`.');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw wrong();
  }
  const parsed = schema.safeParse(value);
  const bytes = parsed.success ? parseKey(parsed.data.key) : null;
  if (!parsed.success || !bytes) throw wrong();
  return { id: parsed.data.keyId, bytes };
}
