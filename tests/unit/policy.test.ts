/** The table of allowed updates: every cell of it. */
import { describe, expect, it } from 'vitest';
import { PHASES, type Phase } from '../../contract/progress.ts';
import {
  SITUATIONS,
  UPDATES,
  rule,
  type Situation,
  type UpdateName,
} from '../../workflows/policy.ts';

const cells = UPDATES.flatMap((update) =>
  PHASES.flatMap((phase) => SITUATIONS.map((situation) => ({ update, phase, situation }))),
);

/** What is allowed, as `update phase situation`; everything else is refused. */
const ALLOWED = new Set([
  ...['running', 'paused'].map((situation) => `pause stream ${situation}`),
  ...['running', 'paused', 'waiting'].map((situation) => `pause cutover ${situation}`),
  ...['snapshot', 'indexes', 'stream'].flatMap((phase) =>
    ['running', 'paused', 'waiting'].map((situation) => `resume ${phase} ${situation}`),
  ),
  ...['running', 'paused'].map((situation) => `cutover stream ${situation}`),
  ...['running', 'paused', 'waiting', 'ending'].map((situation) => `cutover cutover ${situation}`),
  ...['preflight', 'schema', 'snapshot', 'indexes', 'stream', 'cutover'].flatMap((phase) =>
    ['running', 'paused', 'waiting'].flatMap((situation) => [
      `abort ${phase} ${situation}`,
      `setLimits ${phase} ${situation}`,
    ]),
  ),
  'abort aborted ending',
]);

describe('what an operator may ask for', () => {
  it.each(cells)('$update in $phase while $situation', ({ update, phase, situation }) => {
    const ruling = rule(update, phase, situation);
    expect(ruling.allowed).toBe(ALLOWED.has(`${update} ${phase} ${situation}`));
    if (ruling.allowed) return;
    // Printed by the CLI after "unable to update workflow: ", so it starts in lower case and has no full stop.
    expect(ruling.text).toMatch(/^[a-z].*[^.]$/);
    expect(ruling.text).not.toContain('{');
    expect(ruling.text.length).toBeLessThan(160);
  });

  const refusals: [UpdateName, Phase, Situation, RegExp][] = [
    ['pause', 'snapshot', 'running', /works in phase stream; this migration is in phase snapshot/],
    ['pause', 'stream', 'waiting', /waits for the operator.*resume retries the step/],
    [
      'resume',
      'cutover',
      'running',
      /retries a failed step automatically: pause cancels it, resume then/,
    ],
    [
      'pause',
      'cutover',
      'ending',
      /too late to cancel .*: the slot is being dropped after a last check .* the answer of cutover/,
    ],
    ['resume', 'schema', 'running', /in phase schema an error ends the migration/],
    ['cutover', 'indexes', 'running', /works in phase stream; this migration is in phase indexes/],
    ['cutover', 'stream', 'waiting', /resume first/],
    [
      'abort',
      'cutover',
      'ending',
      /too late to abort: the slot is being dropped after a last check/,
    ],
    ['resume', 'cutover', 'ending', /the answer of cutover says how it ends/],
    ['setLimits', 'cutover', 'ending', /the answer of cutover says how it ends/],
    ['abort', 'failed', 'ending', /the migration is ending/],
    ['resume', 'done', 'running', /the migration has ended/],
  ];
  it.each(refusals)(
    '%s in %s while %s is refused with a helpful message',
    (update, phase, situation, words) => {
      expect(rule(update, phase, situation)).toMatchObject({
        allowed: false,
        text: expect.stringMatching(words) as unknown,
      });
    },
  );
});

/**
 * docs/updates.md is this table; `npx vitest run --project unit -u` rewrites it after a change of the rules.
 */
it('the documentation has every cell of the table', async () => {
  const cell = (update: UpdateName, phase: Phase, situation: Situation): string => {
    const ruling = rule(update, phase, situation);
    return ruling.allowed ? 'allowed' : ruling.text;
  };
  const rows = UPDATES.flatMap((update) =>
    PHASES.flatMap((phase) => {
      const alike = new Map<string, Situation[]>();
      for (const situation of SITUATIONS) {
        const text = cell(update, phase, situation);
        alike.set(text, [...(alike.get(text) ?? []), situation]);
      }
      return [...alike].map(
        ([text, situations]) =>
          `| \`${update}\` | ${phase} | ${situations.length === SITUATIONS.length ? 'any' : situations.join(', ')} | ${text} |`,
      );
    }),
  );
  const page = [
    '# Updates: what is allowed when',
    '',
    'For every update, phase and state: allowed, or the text of the refusal as `temporal workflow update` prints it. `ending`',
    'means that the outcome is decided and slot and control schema are being removed. Where an update is allowed, a second call is, too:',
    'it joins the first or gets its answer again.',
    '',
    '`setLimits` takes one object with at least one of `copyStreams` (0 to 32), `copyBytesPerSecond`, `applyChangesPerSecond` (0 is',
    'unlimited) and, where the input has a guard, `guard` (`"on"` or `"off"`); anything else is refused with type `Refused` and changes nothing.',
    'Before the copy the limits are stored for it; while the migration is paused or waits they apply from the next step on. When the target is unavailable the answer says',
    'that they are not in force yet; they are written as soon as it is back.',
    '',
    '| update | phase | state | answer |',
    '| --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
  await expect(page).toMatchFileSnapshot('../../docs/updates.md');
});
