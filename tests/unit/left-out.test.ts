import { describe, expect, it } from 'vitest';
import type { ArchiveEntry } from '../../postgres/archive/archive.ts';
import { newsOf } from '../../postgres/archive/left-out.ts';
import {
  leftOutNames,
  leftOutNotes,
  leftOutSentences,
  skippedSentence,
} from '../../workflows/left-out.ts';

const entry = (id: number, kind: string, name: string, dependencies: number[]): ArchiveEntry => ({
  ...{ id, kind, name, dependencies, classOid: 0, oid: String(id), schema: 's', sql: '' },
  section: 'post',
});

describe('objects that are not carried', () => {
  it('are reported when they belong to something that stays, or to nothing', () => {
    const entries = [
      entry(1, 'TABLE', 'gone', []),
      entry(2, 'TABLE', 'gone too', []),
      entry(3, 'TABLE', 'stays', []),
      entry(4, 'INDEX', 'gone_idx', [1, 1]),
      entry(5, 'FK CONSTRAINT', 'gone gone_stays_fkey', [3, 1]),
      entry(6, 'FK CONSTRAINT', 'stays stays_gone_fkey', [1, 3]),
      entry(7, 'TRIGGER', 'gone too trigger', [1, 2]),
      entry(8, 'VIEW', 'over', [1]),
      entry(9, 'COMMENT', 'VIEW over', [8]),
      entry(10, 'FUNCTION', 'count()', [1]),
      entry(11, 'TABLE ATTACH', 'stays', [1, 3]),
      entry(12, 'SEQUENCE', 'gone_id_seq', [1]),
    ];
    const out = new Set(entries.map(({ id }) => id).filter((id) => id !== 3));
    expect(newsOf(entries, out, new Set([1, 2]))).toEqual([
      'FK CONSTRAINT s.stays stays_gone_fkey',
      'VIEW s.over',
      'FUNCTION s.count()',
      'TABLE ATTACH s.stays',
    ]);
  });

  it('are named in sentences, at most twenty of them each, with the number of the others', () => {
    expect(leftOutSentences(undefined)).toEqual([]);
    expect(leftOutNames(undefined)).toEqual({});
    const excluded = Array.from({ length: 22 }, (_, i) => `VIEW v${i}`);
    const leftOut = {
      ...{ excluded, never: ['PUBLICATION p'], more: 3 },
      ...{ accepted: ['3 large objects'], unselected: ['TABLE app.old'] },
    };
    const standing = `Not moved, because they depend on excluded tables or ignored extensions: ${excluded.slice(0, 20).join(', ')} and 2 more.`;
    expect(leftOutSentences(leftOut)).toEqual([
      'Not selected by the input: TABLE app.old.',
      standing,
      'Not moved, because "ignore" names them: 3 large objects.',
      'Never moved, create them manually where needed: PUBLICATION p.',
      '3 more objects are left out.',
    ]);
    expect(leftOutNames(leftOut)).toEqual({
      leftOut: ['TABLE app.old', ...excluded, '3 large objects', 'PUBLICATION p'],
    });
    // Preflight has reported the others, with its advice; a report of earlier code has only two lists.
    expect(leftOutNotes(leftOut)).toEqual([standing]);
    expect(leftOutNotes(undefined)).toEqual([]);
    expect(skippedSentence([])).toEqual([]);
    expect(skippedSentence(['MATERIALIZED VIEW v (excluded after SQLSTATE 22P02)'])).toEqual([
      'Materialized views that were not refreshed: MATERIALIZED VIEW v (excluded after SQLSTATE 22P02).',
    ]);
    expect(leftOutSentences({ excluded: ['VIEW v'], never: [], more: 0 })).toHaveLength(1);
  });
});
