/** The fence that the input asks for: whether the rights allow it, and what writes in spite of it. */
import type { FenceRights } from '../../../contract/fence.ts';
import type { FencedInput } from '../../fence/fence-contract.ts';
import { fenceOf } from '../../fence/kinds.ts';
import { defineCheck, raising, refuses, warns, type Found } from '../check.ts';
import type { SourceReading } from '../reading.ts';

const { codes, error, warning } = raising({
  'fence-right': refuses('The role cannot make the fence that "fence" asks for.'),
  'fence-subscription': refuses('A subscription writes to selected tables, whatever the fence.'),
  'fence-passes': warns('Some writes pass the fence.'),
});

export const fenceRight = defineCheck({
  codes,
  source: { fence: readFence },
  find: ({ source }) => source?.fence && [missing(source.fence), passing(source.fence)],
});

/** Null: the input asks for none, or the operator stops the writers. */
async function readFence({ client, input }: SourceReading): Promise<FenceRights | null> {
  const { fence: kind }: FencedInput = input;
  if (kind === undefined || kind === 'none') return null;
  return fenceOf(kind).rights(client, input);
}

const ANOTHER = 'or choose another "fence": trigger, roles, command, none.';

function missing({ kind, missing: why }: FenceRights): Found {
  return (
    why.length > 0 &&
    error(
      'fence-right',
      `the fence "${kind}" cannot be made: ${why.join('; ')}`,
      `Grant what is missing, ${ANOTHER}`,
    )
  );
}

function passing({ kind, passes }: FenceRights): Found {
  return passes.map(({ what, action, refuses: stops }) =>
    stops
      ? error('fence-subscription', what, action)
      : warning('fence-passes', `the fence "${kind}" leaves open: ${what}`, action),
  );
}
