import { TidemarkError } from '../../domain/errors.js';

const RFC3339 = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/i;

/** Microseconds since 1970 of an RFC 3339 time, finer digits cut off; `exact` is false when that took something away. */
export function toMicros(time: string): { readonly micros: bigint; readonly exact: boolean } {
  const [, seconds, fraction = '', zone] = RFC3339.exec(time) ?? [];
  const ms = Date.parse(`${seconds}${zone}`);
  if (seconds === undefined || Number.isNaN(ms))
    throw new TidemarkError('invalid_request', `${JSON.stringify(time)} is not an RFC 3339 time with its zone.`);
  return {
    micros: BigInt(ms) * 1000n + BigInt(fraction.slice(0, 6).padEnd(6, '0')),
    exact: !/[1-9]/.test(fraction.slice(6)),
  };
}

/** RFC 3339 with microseconds, in UTC. */
export function fromMicros(micros: bigint): string {
  const iso = new Date(Number(micros / 1000n)).toISOString();
  return `${iso.slice(0, -1)}${String(micros % 1000n).padStart(3, '0')}Z`;
}
