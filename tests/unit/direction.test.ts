/** How the way back names databases and cutovers. */
import { describe, expect, it } from 'vitest';
import { cutoverId, isOwnCutover } from '../../contract/cutover.ts';
import { FAILURES, isFailureCode } from '../../contract/failure-catalogue.ts';
import { parseFinalize } from '../../contract/finalize.ts';
import { inReverse, reverseOf } from '../../contract/reversed.ts';
import { actionOf } from '../../workflows/direction.ts';
import { rule, UPDATES } from '../../workflows/state/policy.ts';
import { ALL_STAGES } from '../../workflows/state/stage.ts';

const MIGRATION = { id: 'a-uuid', workflowId: 'orders', source: 'old', target: 'new', slot: 's' };

describe('the way back', () => {
  it('knows the cutovers of its migration as its own, and no others', () => {
    const cutover = cutoverId(MIGRATION, 'unique');
    expect(isOwnCutover(MIGRATION, cutover)).toBe(true);
    expect(isOwnCutover(reverseOf(MIGRATION), cutover)).toBe(true);
    expect(isOwnCutover({ ...MIGRATION, id: 'a-uui' }, cutover)).toBe(false);
    expect(isOwnCutover(reverseOf({ ...MIGRATION, id: 'other' }), cutover)).toBe(false);
  });

  it('never advises to do something on the source or the target', () => {
    const wrong = /\b[Tt]he (source|target)\b/;
    for (const code of Object.keys(FAILURES).filter(isFailureCode)) {
      expect(actionOf({ isBack: true }, code), code).not.toMatch(wrong);
      expect(actionOf({ isBack: false }, code)).toBe(FAILURES[code].action);
    }
    expect(inReverse('The target is down; rows of source and target differ')).toBe(
      'The old database is down; rows of both databases differ',
    );
  });

  it('calls no database the live target while a switch back is decided or under way', () => {
    for (const at of ALL_STAGES.filter((one) => one === 'released' || one === 'fenced')) {
      for (const update of UPDATES) {
        const ruling = rule(update, at, true);
        if (!ruling.allowed)
          expect(ruling.text, update).not.toMatch(/target is the live|the cutover is/);
      }
    }
  });
});

describe('finalize', () => {
  it('takes nothing, or what becomes of the old database', () => {
    expect(parseFinalize(undefined)).toEqual({ ok: true, oldDatabase: undefined });
    expect(parseFinalize(null)).toEqual({ ok: true, oldDatabase: undefined });
    expect(parseFinalize({ oldDatabase: 'open' })).toEqual({ ok: true, oldDatabase: 'open' });
    for (const raw of [[], 'open', { oldDatabase: 'gone' }, { old: 'open' }]) {
      expect(parseFinalize(raw)).toMatchObject({ ok: false });
    }
  });
});
