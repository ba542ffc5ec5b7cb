/** How much is copied, and how long that takes. */
import type { Relation } from '../../catalog/relation.ts';

/** Bytes per second of all streams together: a slow network and fast machines. */
export const SLOW_COPY = 20e6;
export const FAST_COPY = 100e6;
/** Less than this endangers no disk. */
export const WORTH_A_NOTE_BYTES = 1024 ** 3;

/** Without indexes. */
export function bytesOf(relations: readonly Relation[]): number {
  return relations.reduce((sum, one) => sum + one.bytes, 0);
}
