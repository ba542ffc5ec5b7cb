/** What an anchor leaves out, what its barrier skips, and how often the stream stands. Pure. */
import { expect, test } from 'vitest';
import { parseLsn } from '../../contract/lsn.ts';
import { barrierOf } from '../../postgres/store/barrier.ts';
import { AnchorFilter } from '../../postgres/stream/anchor-filter.ts';
import { AnchorPace } from '../../postgres/stream/anchor-pace.ts';

const at = (hex: string) => parseLsn(`0/${hex}`);
/** Shows everything below 105 except 102, before 0/500. */
const ANCHOR = barrierOf('a', '102:105:102', '0/500');

test('an anchor leaves out what its snapshot does not show and what commits at or after its position', () => {
  const filter = new AnchorFilter(null);
  expect(filter.leavesOut(102, at('100'))).toBe(false);
  filter.only(ANCHOR);
  expect(filter.leavesOut(101, at('100'))).toBe(false);
  expect(filter.leaves).toBe(false);
  // Its id is low, but it committed later: ids are reused after a wraparound.
  expect(filter.leavesOut(101, at('500'))).toBe(true);
  expect(filter.leaves).toBe(false);
  expect(filter.leavesOut(102, at('200'))).toBe(true);
  expect(filter.leaves).toBe(true);
  expect(filter.leavesOut(104, at('300'))).toBe(false);
});

test('a barrier skips exactly what its anchor applied', () => {
  const applied = new AnchorFilter(null);
  applied.only(ANCHOR);
  const skipped = new AnchorFilter(ANCHOR);
  for (const [xid, lsn] of [
    [101, at('100')],
    [102, at('200')],
    [104, at('300')],
    [105, at('400')],
    [103, at('500')],
    [106, at('600')],
  ] as const) {
    expect(skipped.leavesOut(xid, lsn)).toBe(!applied.leavesOut(xid, lsn));
  }
});

test('a stream stands again only past the anchor before, and for half of the time at most', () => {
  const pace = new AnchorPace();
  expect(pace.allows(at('100'), 0)).toBe(true);
  pace.tried(at('500'));
  pace.tried(at('400'));
  pace.stood(300, 1_000);
  expect(pace.allows(at('500'), 1_299)).toBe(false);
  expect(pace.allows(at('4FF'), 1_300)).toBe(false);
  expect(pace.allows(at('500'), 1_300)).toBe(true);
});
