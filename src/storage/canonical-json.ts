/**
 * JSON with sorted object keys and no white space: equal content gives equal text, whatever wrote it. For plain JSON values only.
 */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_name, item: unknown) => {
    if (item === null || typeof item !== 'object' || Array.isArray(item)) return item;
    const source = item as Record<string, unknown>;
    return Object.fromEntries(
      Object.keys(source)
        .sort()
        .map((name) => [name, source[name]]),
    );
  });
}
