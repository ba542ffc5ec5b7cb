/** Readiness: what follows from facts, and what an operator may accept. */
import { expect, test } from 'vitest';
import { judge, type Known, type ReadinessFacts } from '../../contract/readiness.ts';
import { READINESS, type ReadinessCode } from '../../contract/readiness-finding.ts';
import { parseCutoverOptions } from '../../contract/cutover-request.ts';

const GIGABYTE = 2 ** 30;
const READY: ReadinessFacts = {
  slot: { status: 'reserved', heldBytes: 10, safeBytes: null },
  ...{ walBytes: null, lagBytes: 0, writer: null, prepared: { count: 0, seconds: 0 } },
  ...{ invalidIndexes: [], unanalyzed: [], unreadableSequences: [] },
};
const KNOWN: Known = { consistent: true, constraintsBuilt: true, lagSeconds: 0 };
const AT = '2026-01-01T00:00:00.000Z';

/** Facts that give exactly this finding. */
const CASES: Readonly<Record<ReadinessCode, readonly [Partial<ReadinessFacts>, Partial<Known>]>> = {
  'slot-lost': [{ slot: null }, {}],
  'slot-shrinking': [{ slot: { status: 'reserved', heldBytes: 1, safeBytes: GIGABYTE - 1 } }, {}],
  'index-invalid': [{ invalidIndexes: ['public.t_v'] }, {}],
  'sequence-unreadable': [{ unreadableSequences: ['public.s'] }, {}],
  'verification-different': [
    {},
    { verification: { wanted: false, last: { result: 'different', ageSeconds: 1 } } },
  ],
  'verification-missing': [{}, { verification: { wanted: true, last: null } }],
  'verification-old': [
    {},
    { verification: { wanted: true, last: { result: 'equal', ageSeconds: 86_401 } } },
  ],
  'definitions-differ': [{}, { differences: 2 }],
  'not-consistent': [{}, { constraintsBuilt: false }],
  'not-analyzed': [{ unanalyzed: ['public.t'] }, {}],
  'long-writer': [{ writer: { pid: 7, application: 'app', seconds: 11 } }, {}],
  'prepared-transaction': [{ prepared: { count: 1, seconds: 3 } }, {}],
};

test('without anything in the way there is no finding, and the estimate is a second', () => {
  const { ready, findings, estimateSeconds } = judge(READY, KNOWN, AT);
  expect({ ready, findings, estimateSeconds }).toEqual({
    ready: true,
    findings: [],
    estimateSeconds: 1,
  });
});

test.each(Object.entries(CASES))('%s is found from its facts alone', (code, [facts, known]) => {
  const { ready, findings } = judge({ ...READY, ...facts }, { ...KNOWN, ...known }, AT);
  expect(findings.map((one) => one.code)).toEqual([code]);
  const [finding] = findings;
  expect(ready).toBe(finding?.level === 'warns');
});

test('facts at a limit give no finding', () => {
  const facts: ReadinessFacts = {
    ...READY,
    slot: { status: 'extended', heldBytes: 1, safeBytes: GIGABYTE },
    writer: { pid: 7, application: '', seconds: 10 },
  };
  const known: Known = {
    ...KNOWN,
    lagSeconds: 3,
    verification: { wanted: true, last: { result: 'equal', ageSeconds: 86_400 } },
  };
  expect(judge(facts, known, AT)).toMatchObject({ findings: [], estimateSeconds: 14 });
});

test('a finding that is accepted no longer blocks, and the others still do', () => {
  const facts = { ...READY, invalidIndexes: ['a.b'], unreadableSequences: ['a.s'] };
  expect(judge(facts, KNOWN, AT, ['index-invalid']).ready).toBe(false);
  expect(judge(facts, KNOWN, AT, ['index-invalid', 'sequence-unreadable']).ready).toBe(true);
});

test('the input of cutover accepts findings that can block, by code, and refuses every other name', () => {
  expect(parseCutoverOptions(null)).toEqual({ ok: true, options: {} });
  expect(parseCutoverOptions({ accept: ['index-invalid'], compare: 'off' })).toEqual({
    ok: true,
    options: { compare: 'off', accept: ['index-invalid'] },
  });
  const refusalOf = (raw: unknown): string => {
    const parsed = parseCutoverOptions(raw);
    return parsed.ok ? '' : parsed.message;
  };
  for (const wrong of [['index-broken'], ['not-analyzed'], 'index-invalid', [1], { a: 1 }]) {
    expect(refusalOf({ accept: wrong })).toMatch(/slot-lost, index-invalid/);
  }
  for (const wrong of [[], 'x', { compare: 'some' }, { other: 1 }]) {
    expect(refusalOf(wrong)).toContain('omit the input of cutover');
  }
});

test('every finding says what it means and what to do, in sentences', () => {
  for (const { meaning, action } of Object.values(READINESS)) {
    expect(meaning).toMatch(/^[A-Z].*\.$/);
    expect(action).toMatch(/^[A-Z].*\.$/);
  }
});
