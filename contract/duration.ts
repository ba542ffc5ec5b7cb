/** A span of time as an operator writes it: `90m`, `24h`, `7d`. Pure. */
import * as v from 'valibot';

const UNIT_MS = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const TEXT = /^([1-9]\d{0,4})([mhd])$/;
/** Temporal keeps timers longer than this, but no one keeps two databases equal for a quarter of a year. */
const MOST_MS = 90 * UNIT_MS.d;

/** Milliseconds of a valid text. @throws RangeError for another one. */
export function milliseconds(text: string): number {
  const [, number, unit] = TEXT.exec(text) ?? [];
  if (unit !== 'm' && unit !== 'h' && unit !== 'd') throw new RangeError('not a duration');
  return Number(number) * UNIT_MS[unit];
}

/** A duration of at least one minute, at most 90 days. */
export const duration = v.pipe(
  v.string('must be a duration like "24h"'),
  v.regex(TEXT, 'must be a whole number of minutes, hours or days, like "90m", "24h" or "7d"'),
  v.check((text) => milliseconds(text) <= MOST_MS, 'must be at most 90 days'),
);
