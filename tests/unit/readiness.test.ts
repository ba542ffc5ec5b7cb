/** Readiness: what follows from facts, and what an operator may accept. */
import { expect, test } from 'vitest';
import type { DefinitionReport } from '../../contract/definition.ts';
import type { Known, KnownVerification, ReadinessFacts } from '../../contract/readiness.ts';
import { judge } from '../../contract/readiness-judge.ts';
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

type Last = NonNullable<KnownVerification['last']>;

/** Verifications of an input that wants one. */
function verified(last: Partial<Last> | null, more: Partial<KnownVerification> = {}): Known {
  const report = last && {
    ...{ result: 'equal' as const, ageSeconds: 1, notCompared: [], outdated: false },
    ...last,
  };
  return {
    ...KNOWN,
    verification: { wanted: true, running: false, failed: null, last: report, ...more },
  };
}

const FENCE = { kind: 'trigger', open: [], passes: [] } as const;

/** So many differences, of each kind. */
function compared(wrong: number, others: number): DefinitionReport {
  const one = { object: 'public.t', what: 'differs' };
  return {
    differences: [
      ...Array.from({ length: wrong }, () => ({ ...one, wrong: true as const })),
      ...Array.from({ length: others }, () => one),
    ],
    ...{ more: 0, wrong, notCompared: [] },
  };
}

/** Facts that give exactly this finding. */
const CASES: Readonly<Record<ReadinessCode, readonly [Partial<ReadinessFacts>, Partial<Known>]>> = {
  'slot-lost': [{ slot: null }, {}],
  'slot-shrinking': [{ slot: { status: 'reserved', heldBytes: 1, safeBytes: GIGABYTE - 1 } }, {}],
  'index-invalid': [{ invalidIndexes: ['public.t_v'] }, {}],
  'sequence-unreadable': [{ unreadableSequences: ['public.s'] }, {}],
  'verification-different': [{}, verified({ result: 'different' }, { wanted: false })],
  'verification-missing': [{}, verified(null)],
  'verification-old': [{}, verified({ ageSeconds: 86_401 })],
  'verification-off': [{}, verified(null, { wanted: false })],
  'definition-differs': [{}, { definitions: compared(2, 0) }],
  'definition-other': [{}, { definitions: compared(0, 1) }],
  'downtime-too-long': [
    { writer: { pid: 7, application: 'app', seconds: 9.5 }, fence: FENCE },
    { maxDowntimeSeconds: 10 },
  ],
  'fence-open': [{ fence: { ...FENCE, open: ['a subscription writes to public.t'] } }, {}],
  'fence-passes': [{ fence: { ...FENCE, passes: ['large objects can be written'] } }, {}],
  'no-way-back': [{ wayBack: null }, { wayBack: { opened: true, why: null } }],
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
    ...verified({ ageSeconds: 86_400 }),
    lagSeconds: 3,
  };
  expect(judge(facts, known, AT)).toMatchObject({ findings: [], estimateSeconds: 14 });
  const fenced = { ...facts, fence: FENCE };
  // A cutover with a fence catches up before it stops the writes: 10 + 2 × 2 + 1.
  expect(judge(fenced, { ...known, maxDowntimeSeconds: 15 }, AT)).toMatchObject({ findings: [] });
});

test('the estimate says what it is made of: writers, drains, counts, sequences and triggers', () => {
  const facts: ReadinessFacts = {
    ...READY,
    ...{ writer: { pid: 7, application: 'app', seconds: 3 }, fence: FENCE },
    ...{ sequences: 8_000, triggers: 3_000, walBytes: 5 },
  };
  const known: Known = {
    ...KNOWN,
    lagSeconds: 0.5,
    checks: { rows: 9_000_000 },
    maxDowntimeSeconds: 8,
  };
  const { estimate, estimateSeconds, findings, walBytes } = judge(facts, known, AT);
  expect(estimate).toEqual([
    { what: 'the writes of process 7 (app)', seconds: 3 },
    { what: 'two drains', seconds: 1 },
    { what: 'counting the rows', seconds: 4.5 },
    { what: 'setting the sequences', seconds: 2 },
    { what: 'enabling the triggers', seconds: 2 },
    { what: 'everything else', seconds: 1 },
  ]);
  expect({ estimateSeconds, walBytes }).toEqual({ estimateSeconds: 14, walBytes: 5 });
  expect(findings).toMatchObject([
    {
      code: 'downtime-too-long',
      text: 'about 9 s of downtime besides checking the rows, and 8 s are permitted: the writes of process 7 (app) 3.0 s, two drains 1.0 s, setting the sequences 2.0 s, enabling the triggers 2.0 s, everything else 1.0 s',
    },
  ]);
});

test('a session that the cutover would end is in the estimate and does not make the downtime too long', () => {
  const facts = { ...READY, fence: FENCE, writer: { pid: 7, application: 'app', seconds: 9.5 } };
  const codes = (endsSessions: boolean): string[] =>
    judge(facts, { ...KNOWN, maxDowntimeSeconds: 10, endsSessions }, AT).findings.map(
      ({ code }) => code,
    );
  expect(codes(false)).toEqual(['downtime-too-long']);
  expect(codes(true)).toEqual([]);
});

test('checks of rows that are only guessed, or were slow once, are in the estimate and block nothing', () => {
  for (const checks of [{ rows: 10_000_000_000 }, { seconds: 5_000 }]) {
    const known: Known = { ...KNOWN, checks, maxDowntimeSeconds: 10 };
    const judged = judge({ ...READY, fence: FENCE }, known, AT);
    expect(judged).toMatchObject({ ready: true, findings: [], estimateSeconds: 5_001 });
  }
});

test('a way back that is lost, or could not be made, blocks; one that was not asked for is none', () => {
  const opened = { wayBack: { opened: true, why: null } };
  for (const slot of ['reserved', 'unused']) {
    expect(judge({ ...READY, wayBack: slot }, { ...KNOWN, ...opened }, AT).findings).toEqual([]);
  }
  expect(judge({ ...READY, wayBack: 'lost' }, { ...KNOWN, ...opened }, AT)).toMatchObject({
    findings: [{ code: 'no-way-back', text: 'the target has removed WAL that the way back needs' }],
  });
  const why = 'role mover may not create replication slots';
  expect(
    judge({ ...READY, wayBack: null }, { ...KNOWN, wayBack: { opened: false, why } }, AT),
  ).toMatchObject({ ready: false, findings: [{ text: why }] });
  expect(judge({ ...READY, wayBack: null }, KNOWN, AT).findings).toEqual([]);
});

test.each<readonly [string, Known, RegExp]>([
  ['missing', verified(null), /^no verification was completed$/],
  [
    'still running',
    verified(null, { running: true }),
    /^the first verification has not ended yet$/,
  ],
  ['failed', verified(null, { failed: 'no right' }), /without a result: no right$/],
  [
    'incomplete',
    verified({ result: 'incomplete', notCompared: ['a.b: was locked'] }),
    /^the last verification did not compare everything \(a\.b: was locked\)$/,
  ],
  [
    'of rows before a resync',
    verified({ result: 'different', outdated: true }, { running: true }),
    /^tables were resynced after the last verification, and the next one has not ended yet$/,
  ],
])(
  'a verification that is %s blocks the cutover until it is accepted by name, and is only mentioned where the input turns it off',
  (_, known, words) => {
    const { ready, findings } = judge(READY, known, AT);
    expect(ready).toBe(false);
    expect(findings).toMatchObject([{ code: 'verification-missing', level: 'blocks' }]);
    expect(findings[0]?.text).toMatch(words);
    expect(judge(READY, known, AT, ['verification-missing']).ready).toBe(true);
    const off = known.verification && { ...known.verification, wanted: false };
    const mentioned = judge(READY, off ? { ...known, verification: off } : known, AT);
    expect(mentioned.ready).toBe(true);
    expect(mentioned.findings.map(({ code }) => code)).toEqual(['verification-off']);
  },
);

test('a verification that runs or failed takes nothing away from an equal one of the last day', () => {
  for (const more of [{ running: true }, { failed: 'no right' }]) {
    expect(judge(READY, verified({}, more), AT).findings).toEqual([]);
  }
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
    expect(refusalOf({ accept: wrong })).toMatch(
      /slot-lost, index-invalid.*definition-differs.*no-way-back/,
    );
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
