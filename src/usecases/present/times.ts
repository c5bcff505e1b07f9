/** RFC 3339 UTC text of a stored time. */
export function timeText(value: Date | null): string | null {
  return value === null ? null : value.toISOString();
}

/** BigInt columns as JSON numbers; sizes stay far below 2^53. */
export function numberOf(value: bigint | null): number | null {
  return value === null ? null : Number(value);
}
