/** The fence that the input asks for: whether the rights allow it, and what writes in spite of it. */
import type { FenceRights, Passing } from '../../../contract/fence.ts';
import { listed } from '../../../contract/listed.ts';
import type { FencedInput } from '../../fence/fence-contract.ts';
import { fenceFor } from '../../fence/kinds.ts';
import { readSubscribed, type SubscribedTable } from '../../fence/subscription.ts';
import type { Relation } from '../../catalog/relation.ts';
import { destinationOf } from '../../catalog/row-destination.ts';
import { keyOfName } from '../../catalog/table-name.ts';
import { defineCheck, raising, refuses, warns, type Found } from '../check.ts';
import { relations } from '../facts/selected.ts';
import type { SourceReading, TargetReading } from '../reading.ts';
import { identifier, list, nameOf, statements } from '../wording.ts';

const { codes, error, warning } = raising({
  'fence-right': refuses('The role cannot make the fence that "fence" asks for.'),
  'fence-subscription': refuses('A subscription writes to selected tables, whatever the fence.'),
  'fence-passes': warns('Some writes pass the fence.'),
  'target-subscription': refuses('A subscription writes to tables of the target.'),
});

export const fenceRight = defineCheck({
  codes,
  source: { fence: readFence, relations },
  target: { subscribed: ({ client }: TargetReading) => readSubscribed(client) },
  find: ({ source, target }) => [
    source?.fence && [missing(source.fence), passing(source.fence)],
    source !== null && target !== null && subscribing(source.relations, target.subscribed),
  ],
});

/** Its worker fires no statement trigger, so the closed target does not stop it, and its rows are not the source's. */
function subscribing(selected: readonly Relation[], subscribed: readonly SubscribedTable[]): Found {
  const names = new Set(selected.map((one) => keyOfName(destinationOf(one))));
  const found = subscribed.filter((one) => names.has(keyOfName(one)));
  const subscriptions = [...new Set(found.map(({ subscription }) => subscription))];
  return (
    found.length > 0 &&
    error(
      'target-subscription',
      `subscriptions of the target write to tables that are moved: ${list(found.map((one) => `${one.subscription} to ${nameOf(one)}`))}`,
      `Disable them on the target, and leave them so until the cutover: ${statements(subscriptions.map((one) => `alter subscription ${identifier(one)} disable`))}`,
    )
  );
}

/** Null: the input asks for none, or the operator stops the writers. */
async function readFence({ client, input }: SourceReading): Promise<FenceRights | null> {
  const { fence: kind }: FencedInput = input;
  if (kind === undefined || kind === 'none') return null;
  return fenceFor(input).rights(client, input);
}

const ANOTHER = 'or choose another "fence": trigger, roles, command, none.';

function missing({ kind, missing: why }: FenceRights): Found {
  return (
    why.length > 0 &&
    error(
      'fence-right',
      `the fence "${kind}" cannot be made: ${listed(why, SHOWN, '; ')}`,
      `Grant what is missing, ${ANOTHER}`,
    )
  );
}

function passing({ kind, passes }: FenceRights): Found {
  const [stopping, others] = [
    passes.filter((one) => one.refuses),
    passes.filter((one) => !one.refuses),
  ];
  return [
    stopping.length > 0 &&
      error('fence-subscription', texts(stopping, 'what'), texts(stopping, 'action', ' ')),
    others.length > 0 &&
      warning(
        'fence-passes',
        `the fence "${kind}" leaves open: ${texts(others, 'what')}`,
        texts(others, 'action', ' '),
      ),
  ];
}

/** A fence leaves a handful of things open. */
const SHOWN = 10;

const texts = (passes: readonly Passing[], of: 'what' | 'action', separator = '; '): string =>
  passes
    .slice(0, SHOWN)
    .map((one) => one[of])
    .join(separator);
