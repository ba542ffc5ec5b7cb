/** Readiness in words, for Current Details and `walferry watch`. Pure. */
import { wordDowntime } from '../contract/downtime.ts';
import type { Readiness } from '../contract/readiness.ts';
import { bytes, duration } from './wording.ts';

/** `about 4.0 s of downtime (two drains 0.4 s, counting the rows 2.1 s, everything else 1.0 s)`. */
export function downtimeText({ estimateSeconds, estimate = [] }: Readiness): string {
  const parts = estimate.length > 1 ? ` (${wordDowntime(estimate)})` : '';
  return `about ${duration(estimateSeconds)} of downtime${parts}`;
}

/** `the slot keeps 1.2 GB of WAL, and the source's WAL takes 3.4 GB of its disk`; empty when neither is known. */
export function walText({ heldBytes, walBytes = null }: Readiness): string {
  const disk = walBytes === null ? '' : `the source's WAL takes ${bytes(walBytes)} of its disk`;
  if (heldBytes === null) return disk;
  return `the slot keeps ${bytes(heldBytes)} of WAL${disk === '' ? '' : `, and ${disk}`}`;
}
