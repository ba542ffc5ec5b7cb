/** When `walferry demo` may end with 0. */
import { describe, expect, it } from 'vitest';
import { DEFAULT_ROWS, failings, type Shown } from '../../scripts/local/demo/comparison.ts';
import { killInStreamShown, provenByMarks } from '../../scripts/local/demo/evidence.ts';
import { type ChunkMark } from '../../postgres/store/chunk-mark.ts';

const GOOD: Shown = {
  ...{ rows: DEFAULT_ROWS, kills: { copy: 'proven', stream: 'proven' } },
  ...{ equal: true, ledgerProblems: 0, left: [], verification: 'Equal: …', measured: true },
};

describe('the demo passes', () => {
  it('when both kills are proven and everything is equal', () => {
    expect(failings(GOOD)).toEqual([]);
  });

  it('with fewer rows than by default also when the copy ended before a kill', () => {
    const kills = { copy: 'too late', stream: 'proven' } as const;
    expect(failings({ ...GOOD, rows: DEFAULT_ROWS - 1, kills })).toEqual([]);
  });
});

describe('the demo does not pass, and says why,', () => {
  const copy = (proof: Shown['kills']['copy']) => ({ kills: { ...GOOD.kills, copy: proof } });
  it.each<[string, Partial<Shown>]>([
    ['source and target are not equal', { equal: false }],
    ['the ledger of the application does not hold', { ledgerProblems: 1 }],
    ['left behind: slot a on "source"', { left: ['slot a on "source"'] }],
    ['did not find both sides equal', { verification: 'Incomplete: …' }],
    ['has no downtime', { measured: false }],
    ['no worker could be killed during the copy', copy('too late')],
    ['were repeated', copy('refuted')],
    ['were repeated', { ...copy('refuted'), rows: 1000 }],
    ['the stream did not continue', { rows: 1000, kills: { ...GOOD.kills, stream: 'refuted' } }],
  ])('when %s', (words, changed) => {
    expect(failings({ ...GOOD, ...changed })).toEqual([expect.stringContaining(words)]);
  });
});

describe('the marks', () => {
  const mark = (id: number, doneAt: string | null, pass = 1): ChunkMark => ({
    ...{ id, pass, doneAt, worker: doneAt === null ? null : 'w' },
  });
  const before = [mark(1, 'then'), mark(2, null)];

  it('prove a kill in the copy when no finished one changed', () => {
    expect(provenByMarks(before, [mark(1, 'then'), mark(2, 'later')])).toBe('proven');
  });

  it.each([
    ['another time', [mark(1, 'again'), mark(2, 'later')]],
    ['another exported snapshot', [mark(1, 'then', 2), mark(2, 'later')]],
    ['none', [mark(2, 'later')]],
  ])('refute it when a finished chunk has %s', (_, after) => {
    expect(provenByMarks(before, after)).toBe('refuted');
  });

  it('prove nothing when all were done before the worker died', () => {
    const all = [mark(1, 'then'), mark(2, 'then')];
    expect(provenByMarks(all, all)).toBe('too late');
  });

  const at = (epoch: string, confirmedLsn: string, transactions: number) => ({
    ...{ epoch, confirmedLsn, transactions },
  });
  it.each([
    ['proven', at('10', '1/0', 6)],
    ['refuted', at('9', '1/0', 6)],
    ['refuted', at('10', '0/FF', 6)],
    ['refuted', at('10', '1/0', 5)],
  ])('of the stream: %s for %j', (proof, after) => {
    expect(killInStreamShown(at('9', '0/1FF', 5), after)).toBe(proof);
  });
});
