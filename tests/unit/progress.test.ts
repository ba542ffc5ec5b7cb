/** Progress and state from outside: accepted when valid, refused with the field when not. */
import { describe, expect, it } from 'vitest';
import { parseProgress } from '../../contract/progress.ts';
import { carriedState, initialState } from '../../workflows/state/state.ts';

/** As JSON brings it. */
const ANSWER = {
  ...{ phase: 'stream', state: 'waiting', source: 'a', target: 'b', slot: 'walferry_x' },
  waiting: { step: 'stream', code: 'RowMissing', reason: 'a row is gone', action: 'put it back' },
  ...{ confirmedLsn: '0/10', snapshot: null, stream: null, notes: ['n'] },
  startedAt: { preflight: '2026-11-21T09:00:00.000Z' },
};

describe('an answer of the query "progress"', () => {
  it('is accepted without the fields that a newer worker added', () => {
    expect(parseProgress({ ...ANSWER, added: 1 })).toEqual(ANSWER);
  });

  it.each([
    ['phase', { phase: 'lunch' }],
    ['confirmedLsn', { confirmedLsn: 16 }],
    ['waiting.code', { waiting: { ...ANSWER.waiting, code: 'Bored' } }],
    ['stream.transactions', { stream: { changes: 1 } }],
    ['startedAt.preflight', { startedAt: { preflight: 5 } }],
  ])('is refused with the name of the field: %s', (field, changed) => {
    expect(() => parseProgress({ ...ANSWER, ...changed })).toThrow(
      `this version cannot read the answer of "progress": ${field}`,
    );
  });

  it.each([null, 'text', 5])('is refused when it is not an object: %j', (answer) => {
    expect(() => parseProgress(answer)).toThrow('the whole answer');
  });
});

describe('the state that an earlier run passed on', () => {
  const state = initialState(new Date(0));

  it('is accepted with fields of a newer worker', () => {
    const carried = { ...state, added: 1, leftOut: { excluded: [], never: [], more: 0 } };
    expect(carriedState(carried)).toEqual(carried);
  });

  it.each([
    ['version', { version: 1 }],
    ['stage.at', { stage: { at: 'resting' } }],
    ['stage.waiting', { stage: { at: 'streamWaiting' } }],
    ['confirmedLsn', { confirmedLsn: 'x' }],
    ['snapshot.rows', { snapshot: { pass: 1, tables: 1, chunksDone: 1, chunksTotal: 1 } }],
    ['leftOut.more', { leftOut: { excluded: [], never: [] } }],
  ])('is refused when it is not known: %s', (field, changed) => {
    expect(() => carriedState({ ...state, ...changed })).toThrow(
      `this worker only knows state version 2 and cannot read the carried state (${field}): run a worker of the version that wrote it, or a newer one`,
    );
  });
});
