/** What is known of verifications, when one is due, and how people read it. */
import { describe, expect, it, test } from 'vitest';
import {
  differingReport,
  NO_VERIFICATION,
  RESULT_HOLDS_HOURS,
  standingOf,
  type VerificationState,
} from '../../contract/verification-state.ts';
import type { Event } from '../../workflows/state/event.ts';
import { initialState, type State } from '../../workflows/state/state.ts';
import { transition } from '../../workflows/state/transition.ts';
import { verificationOf } from '../../workflows/state/verification-fact.ts';
import { isDue } from '../../workflows/verification-due.ts';
import {
  interruptedText,
  reportText,
  verificationLines,
  verificationNotes,
} from '../../workflows/verification-text.ts';
import { verificationReport } from '../support/verification-report.ts';

const NOW = '2026-11-27T10:00:00.000Z';
const LATER = '2026-11-27T12:30:00.000Z';
const MINUTE = 60_000;

function complete(changed: Partial<State> = {}): State {
  return {
    ...initialState(new Date(NOW)),
    ...{ stage: { at: 'streaming' }, consistent: true, constraintsBuilt: true },
    ...changed,
  };
}

const after = (state: State, ...events: Event[]): State =>
  events.reduce((before, event) => transition(before, event, NOW), state);

const begun = { type: 'verify', id: 'a', by: 'operator' } as const;
const repairing = { type: 'repair', id: 'b', by: 'operator' } as const;
const ended = (id: string, equal: boolean, changed = {}) =>
  ({ type: 'verificationEnded', id, report: verificationReport(id, equal, changed) }) as const;

describe('a verification', () => {
  test.each<Event>([
    { type: 'piecesCompared', id: 'old', report: { pieces: 1, rows: 1, bytes: 1 } },
    { type: 'verificationFailed', id: 'old', reason: { code: 'Denied', message: 'no' } },
    ended('old', false),
  ])('is not changed by what another one reports late: $type', (event) => {
    const state = after(complete(), begun);
    expect(after(state, event)).toEqual(state);
    expect(after(complete(), event)).toEqual(complete());
  });

  it('that runs is joined by the next one', () => {
    const state = after(complete(), begun);
    expect(after(state, { ...begun, id: 'c', by: 'input' })).toEqual(state);
  });

  it('counts what was compared, and not more pieces than there are', () => {
    const plan = { runs: [], parallelism: 1, tables: 2, tablesDone: 1, pieces: 4, done: 1 };
    const report = { pieces: 2, rows: 5, bytes: 50 };
    const state = after(
      complete(),
      begun,
      { type: 'verificationPlanned', id: 'a', plan },
      { type: 'piecesCompared', id: 'a', report },
      { type: 'piecesCompared', id: 'a', report },
    );
    expect(verificationOf(state).running).toMatchObject({
      ...{ rows: 10, bytes: 100, counters: { tables: 2, tablesDone: 1, pieces: 4, done: 4 } },
    });
  });

  it('is over when tables are resynced, and its earlier result counts no longer', () => {
    const state = after(complete(), begun, ended('a', true), begun, { type: 'resyncBegun' });
    expect(verificationOf(state)).toMatchObject({ running: null, outdated: true });
    expect(standingOf(verificationOf(state))).toBe('outdated');
    expect(differingReport(verificationOf(state))).toBeNull();
  });

  it('stays when the migration is paused, and is over when it ends', () => {
    const paused = after(complete(), begun, { type: 'pause' });
    expect(verificationOf(paused).running?.id).toBe('a');
    const aborting = after(paused, { type: 'abort' });
    expect(verificationOf(aborting).running).toBeNull();
    expect(after(aborting, ended('a', true))).toEqual(aborting);
  });

  it('says what the whole target is, and a repair corrects that without making it younger', () => {
    const standing = (state: State) => standingOf(verificationOf(state));
    expect(standingOf(NO_VERIFICATION)).toBe('none');
    const found = after(complete(), begun, ended('a', false, { seconds: 42 }));
    expect(standing(found)).toBe('different');
    const repaired = transition(
      after(found, repairing),
      ended('b', true, { seconds: 9000 }),
      LATER,
    );
    expect(standing(repaired)).toBe('equal');
    expect(verificationOf(repaired).last).toMatchObject({ at: NOW, report: { seconds: 42 } });
    expect(standing(after(repaired, begun, ended('a', false)))).toBe('different');
  });

  it('repairs what the newest one found, and counts rows of all tries', () => {
    const state = after(complete(), begun, ended('a', false), repairing);
    expect(verificationOf(state).running).toMatchObject({ id: 'b', repairs: 'a', repaired: 0 });
    const report = { rows: 2, tables: 1 };
    const twice = after(
      state,
      { type: 'rowsRepaired', id: 'b', report },
      { type: 'rowsRepaired', id: 'b', report },
    );
    expect(verificationOf(twice).running).toMatchObject({ repairs: 'a', repaired: 4 });
  });
});

describe('without being asked', () => {
  const at = (minutes: number) => Date.parse(NOW) + minutes * MINUTE;
  const verified = (seconds: number) => after(complete(), begun, ended('a', true, { seconds }));

  it('the first one is due when the target is complete, and never with "off"', () => {
    expect(isDue('before-cutover', complete(), at(0))).toBe(true);
    expect(isDue('continuous', complete(), at(0))).toBe(true);
    expect(isDue('off', complete(), at(0))).toBe(false);
    const tables = { counts: { 'catching-up': 1 }, unready: [] };
    for (const changed of [
      { consistent: false },
      { constraintsBuilt: false },
      { tables },
      { stage: { at: 'paused', unsure: null } as const },
    ]) {
      expect(isDue('before-cutover', complete(changed), at(0))).toBe(false);
    }
  });

  it('before-cutover repeats a result that is a day old, continuous after a pause as long as the last one took', () => {
    const day = RESULT_HOLDS_HOURS * 60;
    expect(isDue('before-cutover', verified(1), at(day - 1))).toBe(false);
    expect(isDue('before-cutover', verified(1), at(day))).toBe(true);
    expect(isDue('continuous', verified(1), at(9))).toBe(false);
    expect(isDue('continuous', verified(1), at(10))).toBe(true);
    expect(isDue('continuous', verified(3600), at(59))).toBe(false);
    expect(isDue('continuous', verified(3600), at(60))).toBe(true);
  });

  it('before-cutover repeats a result early enough to have the next one before the day is over', () => {
    const hour = 60;
    const day = RESULT_HOLDS_HOURS * hour;
    // It took five hours.
    expect(isDue('before-cutover', verified(5 * 3600), at(day - 10 * hour - 1))).toBe(false);
    expect(isDue('before-cutover', verified(5 * 3600), at(day - 10 * hour))).toBe(true);
    // At most half of the time is spent reading.
    expect(isDue('before-cutover', verified(20 * 3600), at(day / 2 - 1))).toBe(false);
    expect(isDue('before-cutover', verified(20 * 3600), at(day / 2))).toBe(true);
    const inOldHistory = (minutes: number) =>
      isDue('before-cutover', verified(5 * 3600), at(minutes), () => false);
    expect([inOldHistory(day - 1), inOldHistory(day)]).toEqual([false, true]);
  });

  it('none is due while one runs or just after one failed, and one is after a resync', () => {
    expect(isDue('continuous', after(verified(1), begun), at(day()))).toBe(false);
    const reason = { code: 'Denied', message: 'no' } as const;
    const failed = after(complete(), begun, { type: 'verificationFailed', id: 'a', reason });
    expect(isDue('before-cutover', failed, at(9))).toBe(false);
    expect(isDue('before-cutover', failed, at(10))).toBe(true);
    const resynced = after(verified(1), { type: 'resyncBegun' }, { type: 'resynced' });
    expect(isDue('before-cutover', resynced, at(0))).toBe(false);
    expect(isDue('before-cutover', { ...resynced, consistent: true }, at(0))).toBe(true);
  });

  const day = (): number => RESULT_HOLDS_HOURS * 60;
});

describe('in words', () => {
  it('a result is one sentence, with what to do when it is not equal', () => {
    expect(reportText(verificationReport('a', true), null)).toBe(
      'Equal: every row is the same on both sides (12 tables, 3,000,000 rows, 240.0 MB, at 16/B374D848, in 42 s).',
    );
    expect(reportText(verificationReport('a', false), null)).toBe(
      'Different: 3 rows differ in public.orders (3) (compared 12 tables, 3,000,000 rows, 240.0 MB, at 16/B374D848, in 42 s). repair copies these rows again.',
    );
    const notCompared = ['public.t: it is locked'];
    expect(
      reportText(verificationReport('a', true, { result: 'incomplete', notCompared }), null),
    ).toBe(
      'Incomplete: what was compared is the same on both sides (12 tables, 3,000,000 rows, 240.0 MB, at 16/B374D848, in 42 s). Not compared: public.t: it is locked.',
    );
    expect(reportText(verificationReport('a', true), 3)).toBe(
      'Repaired 3 rows and compared them again. Equal: every row is the same on both sides (12 tables, 3,000,000 rows, 240.0 MB, at 16/B374D848).',
    );
    expect(reportText(verificationReport('a', true), 1)).toMatch(
      /^Repaired 1 row and compared it again\. Equal: /,
    );
    const many = [{ table: 'public.orders', keys: 5000, more: true }];
    expect(reportText(verificationReport('a', false, { differing: many }), null)).toMatch(
      /public\.orders \(5,000\).* again; then call verify again, because not all of them are listed\.$/,
    );
  });

  it('an interruption says why, how far it is, and that it goes on', () => {
    const { running } = verificationOf(
      after(complete(), begun, {
        ...{ type: 'verificationPlanned', id: 'a' },
        plan: { runs: [], parallelism: 1, tables: 40, tablesDone: 12, pieces: 100, done: 30 },
      }),
    );
    expect(interruptedText('paused', running)).toBe(
      'the verification was interrupted because the migration was paused: 12 of 40 tables compared (30 %), 0 rows read. It continues when the migration streams again; verify then waits for its result',
    );
    expect(interruptedText('copying', null)).toMatch(/without a result: tables are being resynced/);
  });

  it('lines and notes show what runs, the result, and problems', () => {
    const state = (...events: Event[]): VerificationState =>
      verificationOf(after(complete(), begun, ...events));
    expect(verificationLines(NO_VERIFICATION)).toEqual([]);
    expect(verificationLines(state())).toEqual([
      'verification since 2026-11-27 10:00:00 UTC: waiting for a state that both sides show',
    ]);
    const result = '12 tables, 3,000,000 rows at 16/B374D848, 2026-11-27 10:00:00 UTC';
    expect(verificationLines(state(ended('a', true)))).toEqual([
      `last verification equal: ${result}`,
    ]);
    expect(verificationLines(state(ended('a', true), { type: 'resyncBegun' }))).toEqual([
      `last verification equal, before tables were resynced: ${result}`,
    ]);
    expect(verificationNotes(state(ended('a', true)))).toEqual([]);
    expect(verificationNotes(state(ended('a', false)))).toEqual([
      '3 rows differ in public.orders (3): repair copies these rows again',
    ]);
    const reason = { code: 'Denied', message: 'no right on public.t' } as const;
    expect(verificationNotes(state({ type: 'verificationFailing', id: 'a', reason }))).toEqual([
      'the verification has not proceeded since 2026-11-27 10:00:00 UTC and keeps retrying: no right on public.t (`Denied`)',
    ]);
    expect(verificationNotes(state({ type: 'verificationFailed', id: 'a', reason }))).toEqual([
      'the last verification or repair ended without a result: no right on public.t (`Denied`)',
    ]);
  });
});
