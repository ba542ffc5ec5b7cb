/** Fences that a workflow left on either side: listed, and removed in any state. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import type { FoundGate } from '../../postgres/fence/gate.ts';
import { removeFenceFrom } from '../../postgres/fence/remove-fence.ts';
import type { Leftovers } from './leftovers.ts';

const SIDES = ['source', 'target'] as const;
type Services = Pick<Migration, 'source' | 'target'>;
export type LeftFence = FoundGate & { readonly side: (typeof SIDES)[number] };

/** Those of one workflow id. Pure. */
export function fencesOf({ fences }: Pick<Leftovers, 'fences'>, workflowId: string): LeftFence[] {
  return SIDES.flatMap((side) =>
    fences[side].filter((one) => one.workflowId === workflowId).map((one) => ({ ...one, side })),
  );
}

export function describeFences(
  { fences }: Pick<Leftovers, 'fences'>,
  services: Services,
): string[] {
  return SIDES.flatMap((side) =>
    fences[side].map(
      ({ workflowId, state }) => `fence on "${services[side]}": workflow ${workflowId}, ${state}`,
    ),
  );
}

/** Gives the writes back. Without waiting for readers: what they hold is named, and removed by the next call. */
export async function removeFences(
  sides: Readonly<Record<(typeof SIDES)[number], pg.Client>>,
  services: Services,
  fences: readonly LeftFence[],
  say: (line: string) => void,
): Promise<void> {
  const work = { signal: new AbortController().signal, beat: () => undefined };
  for (const { id, workflowId, side } of fences) {
    const { left } = await removeFenceFrom(sides[side], { id }, work);
    say(
      left.length === 0
        ? `removed the fence of ${workflowId} (${id}) on "${services[side]}"`
        : `left of the fence of ${workflowId} on "${services[side]}", because others use it: ${left.join(', ')}; call cleanup again`,
    );
  }
}
