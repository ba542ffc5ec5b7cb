/** docs/reference/updates.md has every cell of the table of what an operator may request. */
import { test } from 'vitest';
import { UPDATES, rule } from '../../workflows/state/policy.ts';
import { ALL_STAGES, type At } from '../../workflows/state/stage.ts';
import { expectPage, generatedBy, table } from './page.ts';

const BACK: readonly At[] = [
  ...(['streaming', 'paused', 'streamWaiting', 'cuttingOver'] as const),
  ...(['fenced', 'finalizing'] as const),
];

test('the page says for every update and stage whether it is allowed', async () => {
  const rows = (back: boolean, stages: readonly At[]) =>
    UPDATES.flatMap((update) =>
      stages.map((at) => {
        const ruling = rule(update, at, back);
        return [`\`${update}\``, at, ruling.allowed ? 'allowed' : ruling.text];
      }),
    );
  await expectPage('updates.md', [
    '# Updates: what is allowed when',
    '',
    generatedBy('updates-page.test.ts'),
    '',
    'For every update and [stage](states.md): allowed, or the text of the refusal as `temporal workflow update` prints it.',
    'Where an update is allowed, a second call is, too: it joins the first or gets its answer again.',
    '',
    '`setLimits` takes one object with at least one of `copyStreams` (0 to 32), `copyBytesPerSecond`,',
    '`applyChangesPerSecond` (0 is unlimited) and, where the input has a guard, `guard` (`"on"` or `"off"`); anything else is',
    'refused with type `Refused` and changes nothing. Before the copy the limits are stored for it; while the migration is',
    'paused or waits they apply from the next step on. When the target is unavailable the answer says that they are not in',
    'force yet; they are written as soon as it is back.',
    '',
    ...table(['update', 'stage', 'answer'], rows(false, ALL_STAGES)),
    '',
    '## On the way back',
    '',
    'With `switchback` in the input, these stages are about the [way back](../explanation/way-back.md) from the switch',
    'on; the query `progress` shows them as phase `reverse`.',
    '',
    ...table(['update', 'stage', 'answer'], rows(true, BACK)),
  ]);
});
