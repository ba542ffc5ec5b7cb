/** Settings and rights that fences change: what each event says about them, what is shown, and what the report has. */
import { expect, test } from 'vitest';
import { parseInput } from '../../contract/input.ts';
import {
  changesLooked,
  changesRestored,
  changesTaken,
  isKept,
  MOST_FENCE_CHANGES,
  RIGHTS_OF,
} from '../../contract/fence-change.ts';
import type { MigrationSummary } from '../../contract/work.ts';
import { keptHint, keptNotes, keptTexts, shownKept } from '../../workflows/kept.ts';
import { formatLsn } from '../../contract/lsn.ts';
import type { Event } from '../../workflows/state/event.ts';
import { carriedState, initialState, type State } from '../../workflows/state/state.ts';
import { transition } from '../../workflows/state/transition.ts';

const BEGIN = Date.parse('2026-11-27T10:00:00.000Z');
const at = (seconds: number): string => new Date(BEGIN + seconds * 1000).toISOString();

const RIGHTS = {
  what: 'rights of app: INSERT on public.a',
  undo: 'grant INSERT on table a to app',
};
const LIMIT = {
  what: 'connection limit of the database',
  undo: 'alter database d connection limit 9',
  extra: true,
} as const;
const migration = { id: 'm', workflowId: 'w', source: 'old', target: 'new', slot: 's' };
const parsed = parseInput({ source: 'old', target: 'new', fence: 'roles' });
if (!parsed.ok) throw new Error(parsed.message);
const { input } = parsed;

function after(...events: readonly (readonly [Event, number])[]): State {
  const streaming: State = { ...initialState(new Date(BEGIN)), stage: { at: 'streaming' } };
  return events.reduce((state, [event, second]) => transition(state, event, at(second)), streaming);
}

const box: Event = { type: 'boxBegun', cutover: 'm/1', changes: [RIGHTS, LIMIT] };
const SWITCHED: readonly (readonly [Event, number])[] = [
  [{ type: 'cutover' }, 1],
  [box, 2],
  [{ type: 'switched', downtimeMs: 900 }, 3],
  [{ type: 'sourceLooked', stays: [RIGHTS] }, 4],
];
const back = { until: at(999), summary: { summary: 'done' } as MigrationSummary };
const BACK = [
  ...SWITCHED,
  [{ type: 'wayBackBegun', at: formatLsn(9n), back }, 5],
] as const satisfies readonly (readonly [Event, number])[];

test('an undone cutover has changed and restored everything, and a rehearsal no extras', () => {
  const state = after(
    [{ type: 'rehearse' }, 1],
    [box, 2],
    [{ type: 'writesReturned' }, 3],
    [{ type: 'cutoverUndone', rehearsed: true }, 4],
    [{ type: 'cutover' }, 11],
    [box, 12],
    [{ type: 'writesReturned' }, 14],
    [{ type: 'cutoverUndone' }, 15],
  );
  expect(state.course?.fenceChanges).toEqual([
    // The first time and the last.
    { side: 'source', what: RIGHTS.what, changed: at(2), restored: at(14) },
    { side: 'source', what: LIMIT.what, changed: at(12), restored: at(14) },
  ]);
  expect(keptTexts({ migration, state })).toEqual([]);
  expect(shownKept({ migration, input, state })).toEqual({});
});

test('after a switch what the look at the source names stays changed, and the rest was given back', () => {
  const state = after(...SWITCHED);
  expect(state.course?.fenceChanges).toEqual([
    { side: 'source', what: LIMIT.what, changed: at(2), restored: at(4) },
    { side: 'source', ...RIGHTS, changed: at(2) },
  ]);
  expect(keptTexts({ migration, state })).toEqual([
    `changed on "old" by the fence since 2026-11-27 10:00:02 UTC: ${RIGHTS.what}; to give it back: psql service=old -c 'grant INSERT on table a to app'`,
  ]);
  expect(keptHint({ state })).toContain('walferry report lists');
  expect(carriedState({ ...state })).toEqual(state);
});

test('a source that cannot be looked at keeps everything that the fence may have changed', () => {
  const state = after(...SWITCHED.slice(0, 3));
  expect(keptTexts({ migration, state }).join('\n')).toMatch(
    /INSERT on public\.a.*\n.*connection limit of the database; to give it back: psql service=old -c 'alter database d connection limit 9'/,
  );
});

test('while there is a way back progress names what stays changed on the old database, with the update that gives it back', () => {
  const state = after(...BACK);
  const update = `finalize --input '{"oldDatabase": "open"}'`;
  expect(shownKept({ migration, input, state })).toEqual({
    fenceChanges: [{ on: 'old', ...RIGHTS, since: at(2), update }],
  });
  expect(keptNotes(state)).toEqual([expect.stringContaining('old database (1)')]);
  const trigger = { ...input, fence: 'trigger' } as const;
  expect(shownKept({ migration, input: trigger, state: after(...BACK) }).fenceChanges?.[0]).toEqual(
    {
      ...{ on: 'old', update },
      what: 'writes to the selected tables: the fence (schema walferry_fence) is sealed',
    },
  );
  const opened = after(...BACK, [{ type: 'finalize', oldDatabase: 'open' }, 6], [
    { type: 'oldOpened' },
    7,
  ] as const);
  expect(keptTexts({ migration, state: opened })).toEqual([]);
  const sealed = after(...BACK, [{ type: 'finalize', oldDatabase: 'sealed' }, 6]);
  expect(keptTexts({ migration, state: sealed })).toHaveLength(1);
  expect(shownKept({ migration, input, state: sealed }).fenceChanges?.[0]).not.toHaveProperty(
    'update',
  );
});

test('a switch back gives the old database everything back, and what stays changed is on the new one', () => {
  const state = after(
    ...BACK,
    [{ type: 'cutover' }, 6],
    [{ type: 'boxBegun', cutover: 'm/2', changes: [RIGHTS] }, 7],
    [{ type: 'switched', downtimeMs: 900 }, 8],
    [{ type: 'oldOpened' }, 9],
    [{ type: 'sourceLooked', stays: [RIGHTS] }, 10],
  );
  expect(keptTexts({ migration, state })).toEqual([
    expect.stringContaining('changed on "new" by the fence since 2026-11-27 10:00:07 UTC'),
  ]);
  expect(state.course?.fenceChanges).toContainEqual({
    ...{ side: 'source', what: RIGHTS.what, changed: at(2), restored: at(9) },
  });
});

test('sessions that were ended are counted with their cutover', () => {
  const state = after([{ type: 'cutover' }, 1], [box, 2], [
    { type: 'armed', deadline: at(9), ended: 3 },
    3,
  ] as const);
  expect(state.course?.cutovers[0]).toMatchObject({ endedSessions: 3 });
});

test('the list is bounded, and what was restored first goes before what is still changed', () => {
  const named = (count: number, what: string) =>
    Array.from({ length: count }, (_, i) => ({ what: `${what} ${i}` }));
  const kept = changesTaken([], 'source', named(5, 'kept'), at(0));
  const restored = changesRestored(
    changesTaken([], 'target', named(MOST_FENCE_CHANGES - 5, 'restored'), at(1)),
    ...(['target', at(2)] as const),
  );
  const all = changesTaken([...kept, ...restored], 'source', named(5, 'new'), at(3));
  expect(all).toHaveLength(MOST_FENCE_CHANGES);
  expect(all.filter((one) => isKept(one)).map(({ what }) => what)).toEqual([
    ...[...named(5, 'kept'), ...named(5, 'new')].map(({ what }) => what),
  ]);
  expect(all.some(({ what }) => what === 'restored 4')).toBe(false);
});

const STOPPED = '2026-11-27T22:00:00.000Z';
const SEEN = '2026-11-27T22:00:05.000Z';
const insertOn = (tables: string) => ({
  what: `${RIGHTS_OF}app: INSERT on ${tables}`,
  undo: `grant INSERT on table ${tables} to app`,
});

test('rights that are grouped in another way when the old database is looked at are still revoked, and settings that are not named are restored', () => {
  const limit = { what: 'connection limit of the database', undo: 'alter database …' };
  const taken = changesTaken([], 'source', [insertOn('public.a'), limit], STOPPED);
  const looked = changesLooked(taken, 'source', [insertOn('public.a, public.b')], {
    since: STOPPED,
    at: SEEN,
  });
  expect(looked.filter(isKept).map(({ what }) => what)).toEqual([
    insertOn('public.a, public.b').what,
  ]);
  expect(looked.filter((one) => !isKept(one))).toEqual([
    { side: 'source', what: limit.what, changed: STOPPED, restored: SEEN },
  ]);
});
