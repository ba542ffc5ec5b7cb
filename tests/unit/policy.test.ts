/** The state machine: what an operator may request in each stage, and that no sequence of events leads out of it. */
import { describe, expect, it } from 'vitest';
import { UPDATES, rule, type UpdateName } from '../../workflows/state/policy.ts';
import { ALL_STAGES, type At } from '../../workflows/state/stage.ts';

const cells = UPDATES.flatMap((update) => ALL_STAGES.map((at) => ({ update, at })));

const OPEN = [
  ...['preflight', 'schema', 'copying', 'copyWaiting', 'indexing', 'indexWaiting'],
  ...['streaming', 'paused', 'streamWaiting', 'cuttingOver', 'fenced'],
];

/** What is allowed, as `update stage`; everything else is refused. */
const ALLOWED = new Set([
  ...['streaming', 'paused', 'cuttingOver', 'fenced'].map((at) => `pause ${at}`),
  'rehearse streaming',
  ...OPEN.slice(2, 9).map((at) => `resume ${at}`),
  ...[
    ...['streaming', 'paused', 'cuttingOver', 'fenced'],
    ...['released', 'releasing', 'completing'],
  ].map((at) => `cutover ${at}`),
  ...OPEN.flatMap((at) => [`abort ${at}`, `setLimits ${at}`, `approve ${at}`]),
  ...['copying', 'copyWaiting', 'streaming', 'paused', 'streamWaiting'].map(
    (at) => `await-cutover ${at}`,
  ),
  ...['cuttingOver', 'fenced', 'released', 'releasing', 'completing'].map(
    (at) => `await-cutover ${at}`,
  ),
  ...['abort aborting', 'verify streaming', 'repair streaming'],
]);

describe('what an operator may ask for', () => {
  it.each(cells)('$update in stage $at', ({ update, at }) => {
    const ruling = rule(update, at);
    expect(ruling.allowed).toBe(ALLOWED.has(`${update} ${at}`));
    if (ruling.allowed) return;
    // Printed by the CLI after "unable to update workflow: ", so it starts in lower case and has no full stop.
    expect(ruling.text).toMatch(/^[a-z].*[^.]$/);
    expect(ruling.text).not.toContain('{');
    expect(ruling.text.length).toBeLessThan(160);
  });

  it.each(ALL_STAGES)(
    'on the way back, in stage %s, nothing ends or repeats the migration',
    (at) => {
      for (const update of ['cutover', 'abort'] as const) {
        expect(rule(update, at, true).allowed).toBe(false);
      }
      const may = (update: UpdateName): boolean => rule(update, at, true).allowed;
      expect(may('finalize')).toBe(
        ['streaming', 'paused', 'streamWaiting', 'finalizing'].includes(at),
      );
      expect(may('switchback')).toBe(rule('cutover', at).allowed);
      expect(may('pause')).toBe(rule('pause', at).allowed);
    },
  );

  const refusals: [UpdateName, At, RegExp][] = [
    ['pause', 'copying', /works in phase stream; this migration is in phase snapshot/],
    ['pause', 'streamWaiting', /waits for the operator.*resume retries the step/],
    ['resume', 'cuttingOver', /retries a failed step automatically: pause cancels it, resume then/],
    [
      'pause',
      'releasing',
      /too late to cancel .*: the slot is being dropped after a last check .* the answer of cutover/,
    ],
    ['pause', 'released', /too late to undo the cutover: .*the target is the live database/],
    ['resume', 'schema', /in phase schema an error ends the migration/],
    ['cutover', 'indexing', /works in phase stream; this migration is in phase indexes/],
    ['cutover', 'streamWaiting', /resume first/],
    ['abort', 'releasing', /too late to abort: the slot is being dropped after a last check/],
    ['resume', 'completing', /the answer of cutover says how it ends/],
    ['setLimits', 'completing', /the answer of cutover says how it ends/],
    ['verify', 'copying', /verify works in phase stream; this migration is in phase snapshot/],
    ['verify', 'paused', /compared while the migration streams: resume first/],
    ['repair', 'streamWaiting', /waits for the operator.*: resume first, call verify or repair/],
    ['repair', 'cuttingOver', /a cutover is under way: .* before it, or after pause and resume/],
    ['verify', 'completing', /the answer of cutover says how it ends/],
    ['await-cutover', 'indexing', /no cutover can have been asked for.*phase indexes/],
    ['approve', 'completing', /the answer of cutover says how it ends/],
    ['abort', 'failing', /the migration is ending/],
    ['resume', 'done', /the migration has ended/],
  ];
  it.each(refusals)('%s in stage %s is refused with a helpful message', (update, at, words) => {
    expect(rule(update, at)).toMatchObject({
      allowed: false,
      text: expect.stringMatching(words) as unknown,
    });
  });
});
