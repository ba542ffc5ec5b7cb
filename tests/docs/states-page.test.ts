/** docs/reference/states.md shows every move of the workflow's state. */
import { test } from 'vitest';
import { ALL_STAGES, STAGES } from '../../workflows/state/stage.ts';
import { MOVES as TABLE_MOVES } from '../../postgres/store/table-state.ts';
import { MOVES, destination } from '../../workflows/state/transition.ts';
import { expectPage, generatedBy, table } from './page.ts';

const MOVE_TYPES = Object.keys(MOVES).filter((type): type is keyof typeof MOVES => type in MOVES);

test('the page shows every move', async () => {
  const arrows = MOVE_TYPES.flatMap((type) =>
    ALL_STAGES.flatMap((from) => {
      const to = destination(type, from);
      return to === undefined || to === from ? [] : [`  ${from} --> ${to}: ${type}`];
    }),
  );
  // A hyphen ends the name of a state in Mermaid.
  const named = (state: string): string => state.replace('-', '_');
  const tableArrows = Object.entries(TABLE_MOVES).flatMap(([event, { from, to }]) =>
    from.flatMap((state) =>
      state === to ? [] : [`  ${named(state)} --> ${named(to)}: ${event}`],
    ),
  );
  const stages = ALL_STAGES.map((at) => {
    const { phase, state, ending } = STAGES[at];
    return [at, phase, state, ending ? 'yes' : 'no'];
  });
  await expectPage('states.md', [
    '# States of a migration',
    '',
    generatedBy('states-page.test.ts'),
    '',
    'The workflow is in one stage at a time. Each arrow is an event; an event without an arrow from a stage is illegal there,',
    'or changes nothing. The source is `MOVES` in `workflows/state/transition.ts`.',
    '',
    '```mermaid',
    'stateDiagram-v2',
    '  [*] --> preflight',
    ...arrows,
    ...['done', 'aborted', 'failed'].map((end) => `  ${end} --> [*]`),
    '```',
    '',
    'The query `progress` shows a stage as phase and state. `ending`: slot and control schema are being removed, or are gone.',
    '',
    ...table(['stage', 'phase', 'state', 'ending'], stages),
    '',
    '## States of a table',
    '',
    'Each table has one state, in the column `state` of `walferry.relation` on the target; `walferry watch ID --tables` shows',
    'it. `absent`: the snapshot of its pass does not contain the table. The source is `MOVES` in',
    '`postgres/store/table-state.ts`; an event that may happen in all states is shown from those that it changes.',
    '',
    '```mermaid',
    'stateDiagram-v2',
    '  [*] --> pending',
    ...tableArrows,
    '```',
  ]);
});
