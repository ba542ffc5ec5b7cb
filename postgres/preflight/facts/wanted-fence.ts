/** The rights for the fence of the cutover, and what is in its way. */
import { DEFAULT_FENCE, type FenceRights } from '../../../contract/fence.ts';
import { fenceFor } from '../../fence/kinds.ts';
import { shared, type SourceReading } from '../reading.ts';

/** What the fence of the cutover would need; null: the operator stops the writers. */
export const fence = shared(readFence);

/** Null: the operator stops the writers. */
async function readFence({ client, input }: SourceReading): Promise<FenceRights | null> {
  if (input.fence === 'none') return null;
  if (input.fence !== undefined) return fenceFor(input).rights(client, input);
  const byDefault = { ...input, fence: DEFAULT_FENCE };
  return { ...(await fenceFor(byDefault).rights(client, byDefault)), byDefault: true };
}

/** Why an input without a fence gets none; empty: it gets the default one. Pure. */
export function inTheWay({ missing: why, passes }: FenceRights): string[] {
  return [...why, ...passes.flatMap(({ refuses: stops, what }) => (stops ? [what] : []))];
}

/** Whether the cutover will have a fence. Pure. @param rights null: the input says that it has none. */
export function willBeFenced(rights: FenceRights | null): boolean {
  return rights !== null && (rights.byDefault !== true || inTheWay(rights).length === 0);
}
