import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compareLsn, formatLsn, parseLsn, type Lsn } from '../../contract/lsn.ts';
import { Horizon } from '../../postgres/replication/confirm.ts';

const at = (n: number): Lsn => formatLsn(BigInt(n));

test('only what the target stored is confirmed', () => {
  const horizon = new Horizon(at(100));
  horizon.begin();
  horizon.end(at(200));
  expect(horizon.position).toBe(at(200));
  expect(horizon.confirmable).toBe(at(100));
  horizon.stored(at(200));
  expect(horizon.confirmable).toBe(at(200));
});

test('exactly the end of the commit record is stored: the next one may start right there', () => {
  const horizon = new Horizon(at(100));
  horizon.begin();
  horizon.end(parseLsn('0/1B0'));
  expect(horizon.position).toBe('0/1B0');
});

test('a keepalive inside a transaction is not a position: the rest of the transaction is still to come', () => {
  const horizon = new Horizon(at(100));
  horizon.begin();
  horizon.keepalive(at(500));
  expect(horizon.position).toBe(at(100));
  horizon.end(at(300));
  expect(horizon.position).toBe(at(300));
});

test('after a start the keepalives have older positions and move nothing', () => {
  const horizon = new Horizon(at(1000));
  horizon.keepalive(at(400));
  expect(horizon.position).toBe(at(1000));
});

test('a position that was not received, or is older, is refused', () => {
  const horizon = new Horizon(at(100));
  horizon.keepalive(at(200));
  expect(() => horizon.stored(at(201))).toThrow(/0\/C9 lies outside/);
  horizon.stored(at(200));
  expect(() => horizon.stored(at(150))).toThrow(/lies outside/);
});

test('whatever arrives, nothing unapplied is before the confirmed LSN', () => {
  const event = fc.oneof(
    fc.record({
      kind: fc.constant('commit' as const),
      gap: fc.nat(50),
      size: fc.integer({ min: 1, max: 90 }),
    }),
    fc.record({
      kind: fc.constant('keepalive' as const),
      ahead: fc.integer({ min: -100, max: 50 }),
    }),
    fc.record({ kind: fc.constant('inside' as const) }),
    fc.record({ kind: fc.constant('store' as const) }),
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 200 }), (events) => {
      const horizon = new Horizon(at(1000));
      let wal = 1000;
      /** Commit records that were received and are not stored. */
      let unapplied: number[] = [];
      for (const e of events) {
        switch (e.kind) {
          case 'commit': {
            const commit = wal + e.gap;
            horizon.begin();
            // Applying and storing continue while the next transaction arrives.
            if (e.gap % 2 === 0) horizon.keepalive(at(commit));
            unapplied.push(commit);
            wal = commit + e.size;
            horizon.end(at(wal));
            break;
          }
          case 'keepalive':
            if (e.ahead > 0) wal += e.ahead;
            horizon.keepalive(at(Math.max(0, wal + Math.min(0, e.ahead))));
            break;
          case 'inside':
            horizon.begin();
            horizon.keepalive(at(wal + 1));
            expect(compareLsn(horizon.position, at(wal))).toBeLessThanOrEqual(0);
            unapplied.push(wal);
            wal += 1;
            horizon.end(at(wal));
            break;
          case 'store': {
            unapplied = [];
            horizon.stored(horizon.position);
            break;
          }
        }
        for (const commit of unapplied) {
          expect(compareLsn(horizon.confirmable, at(commit))).toBeLessThanOrEqual(0);
        }
      }
    }),
  );
});
