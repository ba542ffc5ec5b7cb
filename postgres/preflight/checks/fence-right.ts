/** The fence that the input asks for: whether the rights allow it, and what writes in spite of it. */
import { NO_DEFAULT_FENCE, type FenceRights, type Passing } from '../../../contract/fence.ts';
import { listed } from '../../../contract/listed.ts';
import { readSubscribed, type SubscribedTable } from '../../fence/subscription.ts';
import type { Relation } from '../../catalog/relation.ts';
import { destinationOf } from '../../catalog/row-destination.ts';
import { keyOfName } from '../../catalog/table-name.ts';
import { defineCheck, raising, refuses, warns, type Found } from '../check.ts';
import { fence, inTheWay, willBeFenced } from '../facts/wanted-fence.ts';
import { relations } from '../facts/selected.ts';
import type { TargetReading } from '../reading.ts';
import { identifier, list, nameOf, statements } from '../wording.ts';

const { codes, error, warning } = raising({
  'fence-right': refuses('The role cannot make the fence that "fence" asks for.'),
  'fence-subscription': refuses('A subscription writes to selected tables, whatever the fence.'),
  [NO_DEFAULT_FENCE]: warns('The input has no "fence", and the default one cannot be made.'),
  'fence-passes': warns('Some writes pass the fence.'),
  'target-subscription': refuses('A subscription writes to tables of the target.'),
});

export const fenceRight = defineCheck({
  codes,
  source: { fence, relations },
  target: { subscribed: ({ client }: TargetReading) => readSubscribed(client) },
  find: ({ source, target }) => [
    source?.fence &&
      (willBeFenced(source.fence)
        ? [missing(source.fence), passing(source.fence)]
        : noDefault(source.fence)),
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
      `Disable them on the target until the cutover: ${statements(subscriptions.map((one) => `alter subscription ${identifier(one)} disable`))}`,
    )
  );
}

/** The migration goes on without one; the finding says what a fence would take. */
function noDefault(rights: FenceRights): Found {
  return warning(
    NO_DEFAULT_FENCE,
    `nothing stops the writes for the cutover, because the fence "${rights.kind}" cannot be made: ${listed(inTheWay(rights), SHOWN, '; ')}`,
    'Correct what the message names and start again, or choose another "fence" ("roles", "command"). Or set "fence": "none" and stop every writer before you call cutover.',
  );
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
