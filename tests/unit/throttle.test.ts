/**
 * Limits and guard without a server: what is accepted, how much a bucket lets through, when a guard holds and
 * releases.
 */
import { describe, expect, it } from 'vitest';
import { parseInput } from '../../contract/input.ts';
import { parseChange } from '../../contract/limits.ts';
import { Hysteresis } from '../../postgres/guard/hysteresis.ts';
import type { Measurement } from '../../postgres/guard/measure.ts';
import type { GuardFacts } from '../../postgres/preflight/facts/measured-guard.ts';
import { MigrationError } from '../../contract/failure.ts';
import { Bucket } from '../../postgres/throttle/bucket.ts';
import { findings, SOURCE } from '../support/preflight-facts.ts';

describe('the change of limits', () => {
  it.each([
    [{ copyStreams: 2 }, { copyStreams: 2 }],
    [{ copyBytesPerSecond: 0 }, { copyBytesPerSecond: 0 }],
    [
      { applyChangesPerSecond: 1_000_000_000, guard: 'off' },
      { applyChangesPerSecond: 1_000_000_000, guard: 'off' },
    ],
  ])('accepts %j and leaves the rest unchanged', (raw, change) => {
    expect(parseChange(raw)).toEqual({ ok: true, change });
  });

  it.each([
    [undefined, /one object like .*known fields: copyStreams, copyBytesPerSecond/],
    [null, /one object like/],
    [[], /one object like/],
    ['fast', /one object like/],
    [{}, /nothing to set: give at least one of copyStreams/],
    [{ copyStreams: -1 }, /"copyStreams" must be a whole number from 0 to 32/],
    [{ copyStreams: 33 }, /"copyStreams" must be a whole number from 0 to 32/],
    [{ copyBytesPerSecond: 1.5 }, /"copyBytesPerSecond" must be a whole number from 0/],
    [{ copyBytesPerSecond: '5000000' }, /"copyBytesPerSecond" must be a whole number/],
    [{ applyChangesPerSecond: null }, /"applyChangesPerSecond" must be a whole number/],
    [{ applyChangesPerSecond: Number.NaN }, /"applyChangesPerSecond" must be a whole number/],
    [{ guard: false }, /"guard" must be "on" or "off"/],
    [{ bytes: 1 }, /unknown field "bytes"; known fields: copyStreams/],
    [{ 'postgres://u:MARKER@h/d': 1 }, /its name is not repeated here/],
  ])('refuses %j', (raw, expected) => {
    const parsed = parseChange(raw);
    expect(parsed).toMatchObject({ ok: false });
    if (!parsed.ok) expect(parsed.message).toMatch(expected);
    expect(JSON.stringify(parsed)).not.toContain('MARKER');
  });
});

describe('limits and guard of the input', () => {
  const given = (more: object) => parseInput({ source: 'a', target: 'b', ...more });

  it('are unlimited and absent unless given, and keep what is given', () => {
    const parsed = given({});
    expect(parsed.ok && parsed.input.limits).toEqual({
      ...{ copyStreams: 0, copyBytesPerSecond: 0, applyChangesPerSecond: 0 },
    });
    expect(parsed.ok && parsed.input.guard).toBeUndefined();
    const guard = { activeSessions: 50, query: { sql: 'select 1', ceiling: 0.5 } };
    const limited = given({ guard, limits: { copyBytesPerSecond: 7 } });
    expect(limited).toMatchObject({ ok: true, input: { guard, limits: { copyStreams: 0 } } });
  });

  it.each([
    [{ limits: { copyStreams: -1 } }, '"limits.copyStreams" must be a whole number from 0 to 32'],
    [{ limits: { threads: 1 } }, 'unknown field "limits.threads"; known in "limits": copyStreams'],
    [{ limits: { guard: 'off' } }, 'unknown field "limits.guard"'],
    [{ guard: {} }, '"guard" must have at least one of activeSessions'],
    [{ guard: true }, '"guard" must be an object'],
    [{ guard: { activeSessions: -1 } }, '"guard.activeSessions" must be a number of at least 0'],
    [{ guard: { activeSessions: '5' } }, '"guard.activeSessions" must be a number of at least 0'],
    [{ guard: { lag: 5 } }, 'unknown field "guard.lag"; known in "guard": activeSessions'],
    [{ guard: { query: { sql: 'select 1' } } }, '"guard.query.ceiling" is missing'],
    [{ guard: { query: { sql: ' ', ceiling: 1 } } }, '"guard.query.sql" must not be empty'],
    [
      { guard: { query: { sql: 'x'.repeat(4097), ceiling: 1 } } },
      '"guard.query.sql" must have at most 4096 bytes',
    ],
    [
      { guard: { query: { sql: 'select 1', ceiling: 1, most: 2 } } },
      'unknown field "guard.query.most"; known in "guard.query": sql, ceiling',
    ],
  ])('a mistake is named: %j', (more, expected) => {
    const parsed = given(more);
    expect(parsed.ok ? 'accepted' : parsed.message).toContain(expected);
  });
});

describe('a bucket', () => {
  it('lets its rate through over time, and half a second of it at once', () => {
    const bucket = new Bucket(0);
    bucket.limit(1000, 0);
    let passed = 0;
    for (let now = 0; now <= 10_000; now += 10) {
      while (bucket.wait(now) === 0) {
        bucket.take(64, now);
        passed += 64;
      }
    }
    expect(passed).toBeGreaterThan(9_500);
    expect(passed).toBeLessThan(11_000);
    bucket.take(0, 60_000);
    let burst = 0;
    while (bucket.wait(60_000) === 0) {
      bucket.take(10, 60_000);
      burst += 10;
    }
    expect(burst).toBeLessThanOrEqual(510);
  });

  it('refills at the new rate as soon as that changes, and has no debt without one', () => {
    const bucket = new Bucket(0);
    bucket.limit(10, 0);
    bucket.take(10_000, 0);
    expect(bucket.wait(0)).toBe(1_000_000);
    bucket.limit(10_000, 0);
    expect(bucket.wait(0)).toBe(1_000);
    bucket.limit(0, 0);
    expect(bucket.wait(0)).toBe(0);
    bucket.limit(10, 0);
    expect(bucket.wait(0)).toBe(0);
  });
});

describe('a guard', () => {
  const first = { measure: 'activeSessions', ceiling: 10 } as const;
  const look = (value: number): { looks: Measurement[] } => ({ looks: [{ ...first, value }] });
  const failing = { failing: { code: 'Unreachable' } };

  it('holds above the ceiling and releases clearly below it, never at once', () => {
    const hysteresis = new Hysteresis();
    const holds = (value: number) => hysteresis.observe(look(value), first).holding;
    // A single peak, and the ceiling itself, hold nothing.
    expect([11, 10, 11, 10].map(holds)).toEqual([false, false, false, false]);
    expect([11, 12].map(holds)).toEqual([false, true]);
    // Around the ceiling it keeps holding; it releases after five measurements in a row below nine tenths.
    expect([10, 9, 9, 10, 9, 9, 9, 9].map(holds)).toEqual(Array.from({ length: 8 }, () => true));
    expect(holds(9)).toBe(false);
  });

  it('with a ceiling of 0 releases at 0', () => {
    const hysteresis = new Hysteresis();
    const at = (value: number) =>
      hysteresis.observe({ looks: [{ ...first, ceiling: 0, value }] }, first).holding;
    expect([1, 1].map(at).at(-1)).toBe(true);
    expect([0, 0, 0, 0, 0].map(at).at(-1)).toBe(false);
  });

  it('that cannot measure holds after three attempts, reports why, and releases when it can again', () => {
    const hysteresis = new Hysteresis();
    const seen = [failing, failing, failing].map((one) => hysteresis.observe(one, first));
    expect(seen.map(({ holding }) => holding)).toEqual([false, false, true]);
    expect(seen.at(-1)).toMatchObject({ value: null, failing: { code: 'Unreachable' } });
    expect([1, 1, 1, 1, 1].map((n) => hysteresis.observe(look(n), first).holding).at(-1)).toBe(
      false,
    );
  });

  it('of several measures names the one that is furthest above its ceiling', () => {
    const looks: Measurement[] = [
      { measure: 'activeSessions', ceiling: 10, value: 12 },
      { measure: 'replicaLagBytes', ceiling: 100, value: 500 },
    ];
    expect(new Hysteresis().observe({ looks }, first)).toMatchObject({
      measure: 'replicaLagBytes',
    });
  });
});

describe('preflight of a guard', () => {
  const codes = (measured: Partial<GuardFacts>, guard: object) => {
    const all = { looks: [], failures: [], seesOthers: true, replicas: 1, ...measured };
    const found = findings({ input: { guard }, source: { ...SOURCE, guard: all } });
    return found.map(({ level, code }) => `${level} ${code}`);
  };

  it('refuses what cannot be measured or seen, and warns of what would hold at once', () => {
    expect(codes({}, { activeSessions: 5 })).toEqual([]);
    expect(codes({ seesOthers: false }, { activeSessions: 5 })).toEqual(['error guard-hidden']);
    expect(codes({ seesOthers: false }, { query: { sql: 'select 1', ceiling: 1 } })).toEqual([]);
    const failure = new MigrationError('Internal', 'no number', { object: 'query' });
    expect(codes({ failures: [failure] }, { query: { sql: 'select 1', ceiling: 1 } })).toEqual([
      'error guard',
    ]);
    const look = { measure: 'activeSessions', ceiling: 5, value: 9 } as const;
    expect(codes({ looks: [look] }, { activeSessions: 5 })).toEqual(['warning guard-exceeded']);
    expect(codes({ replicas: 0 }, { replicaLagSeconds: 5 })).toEqual(['warning guard-no-replica']);
  });
});
