/**
 * Whether the writes that a cutover has stopped are back, although it is not undone yet: until it is sealed, a fence may have a
 * deadline at which it gives them back by itself. Pure.
 */
import type { CutoverBox, Progress } from '../../contract/progress.ts';

const SEAL = 'seal ';

/** The step that seals a side. Its answer may be lost after the work is done. */
export const sealStep = (side: string): string => `${SEAL}${side}`;
export const isSealStep = (step: string): boolean => step.startsWith(SEAL);

/** `unknown`: the deadline has passed, and the fence may have been sealed before. */
export type WritesAt = 'stopped' | 'returned' | 'unknown';

/**
 * @param now by the workflow's clock, while the deadline is by that of the side that has the fence. As a rule when the step was last
 *   heard of: what is shown is as of then.
 */
export function writesAt(
  { deadline, spent }: CutoverBox,
  current: Progress['cutover'],
  now = current?.failing?.seen ?? current?.since,
): WritesAt {
  if (deadline === null || current == null || now === undefined) return 'stopped';
  if (Date.parse(now) < Date.parse(deadline)) return 'stopped';
  const steps = [...spent.map(({ step }) => step), current.step];
  return steps.some((step) => isSealStep(step)) ? 'unknown' : 'returned';
}
