import type { EngineKind } from '../domain/engine-kinds.js';

/** Longest database name: PostgreSQL 63 bytes (NAMEDATALEN - 1), MySQL and MariaDB 64 characters. */
const limits: Record<EngineKind, { readonly unit: 'bytes' | 'characters'; readonly max: number }> = {
  postgresql: { unit: 'bytes', max: 63 },
  mysql: { unit: 'characters', max: 64 },
  mariadb: { unit: 'characters', max: 64 },
};

/** Under which name the former content of a target stays after a restore. */
export function previousNameOf(engine: EngineKind, target: string, restoreId: string): string {
  return shorten(engine, target, `__before_${restoreId}`);
}

/** Under which name the restored content stays after a revert. */
export function asideNameOf(engine: EngineKind, target: string, restoreId: string): string {
  return shorten(engine, target, `__reverted_${restoreId}`);
}

/** Shortens the target's part, never the suffix: the suffix is what protects and identifies the database. */
function shorten(engine: EngineKind, target: string, suffix: string): string {
  const { unit, max } = limits[engine];
  const size = (text: string) => (unit === 'bytes' ? Buffer.byteLength(text, 'utf8') : [...text].length);
  // By code points: half a character would make a name that the server refuses.
  const kept = [...target];
  while (kept.length > 0 && size(kept.join('')) + size(suffix) > max) kept.pop();
  return kept.join('') + suffix;
}
