/** Who approved a cutover, and for what. */
import { expect, test } from 'vitest';
import { approvalFor, parseApproval } from '../../contract/approval.ts';
import { isUnapproved, shownApproval } from '../../workflows/approved.ts';
import { initialState, type State } from '../../workflows/state/state.ts';
import { transition } from '../../workflows/state/transition.ts';

const NOW = '2026-11-27T10:00:00.000Z';
const FIRST = { from: '2026-12-01T01:00:00.000Z', to: '2026-12-01T02:00:00.000Z' };
const SECOND = { from: '2026-12-02T01:00:00.000Z', to: '2026-12-02T02:00:00.000Z' };
const required = { approval: 'required' } as const;

test.each([
  [undefined, 'the input of approve is {"name": "…", "note": "…"}'],
  ['Ada', 'the input of approve is {"name"'],
  [{}, '"name" is missing'],
  [{ name: '  ' }, '"name" must not be empty'],
  [{ name: 'Ada\nand Bob' }, '"name" must be one line'],
  [{ name: 'a'.repeat(101) }, '"name" must have at most 100 characters'],
  [{ name: 'Ada', note: 1 }, '"note" must be a text'],
  [{ name: 'Ada', by: 'Bob' }, 'the input of approve is {"name"'],
])('approve refuses %j, and says what is missing', (raw, words) => {
  const parsed = parseApproval(raw);
  expect(parsed).toMatchObject({ ok: false, message: expect.stringContaining(words) as unknown });
  expect(parsed.ok || parsed.message.includes('Bob')).toBe(false);
});

test('an approval is a name, and a note if there is one', () => {
  expect(parseApproval({ name: ' Ada ' })).toEqual({ ok: true, given: { name: 'Ada', note: '' } });
});

test('an approval counts for the window in which it was given, and for no other', () => {
  const approve = (state: State, name: string) =>
    transition(state, { type: 'approve', given: { name, note: '' } }, NOW);
  const begun = initialState(new Date(NOW));
  const windowed = transition(begun, { type: 'windowSet', window: FIRST }, NOW);
  expect(isUnapproved({ input: required, state: windowed })).toBe(true);
  const approved = approve(windowed, 'Ada');
  expect(isUnapproved({ input: required, state: approved })).toBe(false);
  const moved = transition(approved, { type: 'windowSet', window: SECOND }, NOW);
  expect(isUnapproved({ input: required, state: moved })).toBe(true);
  expect(approvalFor(SECOND, approve(moved, 'Bob').approvals)?.name).toBe('Bob');
  // Nor does one for any time count for a window that was set later.
  const early = transition(approve(begun, 'Ada'), { type: 'windowSet', window: FIRST }, NOW);
  expect(isUnapproved({ input: required, state: early })).toBe(true);
});

test('without "approval": "required" nothing needs one, and progress says nothing of it', () => {
  const state = initialState(new Date(NOW));
  expect(isUnapproved({ input: {}, state })).toBe(false);
  expect(shownApproval({ input: { approval: 'none' }, state })).toEqual({});
  expect(shownApproval({ input: required, state })).toEqual({ approval: 'missing' });
});
