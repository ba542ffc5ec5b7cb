/** The stream's heartbeat reports progress, not merely a running process. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Look } from '../../postgres/session/onlooker.ts';

type Seen = Look['seen'];
import { Pulse, STUCK_MS, type Vitals } from '../../postgres/stream/pulse.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** A pulse of a stream whose source sends a keepalive every two seconds. */
function beating(
  vitals: Omit<Vitals, 'moved'>,
  seen: { readonly target?: Seen; readonly source?: Seen } = {},
) {
  const now = { ...vitals, beats: 0, measured: 0, stuckAfter: null as number | null };
  const pulse = new Pulse({
    work: { beat: () => void (now.beats += 1) },
    onlookers: {
      target: { look: () => Promise.resolve({ seen: seen.target ?? 'idle' }) },
      source: { look: () => Promise.resolve({ seen: seen.source ?? 'idle' }) },
    },
    vitals: () => ({ ...now, moved: now.done + Math.floor(performance.now() / 2_000) }),
    details: () => ({}),
    measure: () => Promise.resolve(void (now.measured += 1)),
    stuck: (forMs) => (now.stuckAfter = forMs),
  });
  pulse.start();
  return { now, [Symbol.asyncDispose]: () => pulse[Symbol.asyncDispose]() };
}

test.each([
  { what: 'a batch whose answer does not come', applying: true },
  { what: 'a question before the next batch', applying: false },
])(
  'whatever arrives, $what is abandoned after a minute, and no heartbeat follows',
  async (state) => {
    await using pulse = beating({ done: 1, idle: false, applying: state.applying });
    const { now } = pulse;
    await vi.advanceTimersByTimeAsync(STUCK_MS - 2_000);
    expect(now.beats).toBeGreaterThan(STUCK_MS / 2_000 - 3);
    expect(now.stuckAfter).toBeNull();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(now.stuckAfter).toBeGreaterThan(STUCK_MS);
    const { beats } = now;
    await vi.advanceTimersByTimeAsync(STUCK_MS);
    expect(now.beats).toBe(beats);
  },
);

test.each<{ target?: Seen; source?: Seen }>([
  { target: 'active' },
  { target: 'progressed' },
  { source: 'active' },
])('a server that works for the stream may take as long as it likes (%j)', async (seen) => {
  await using pulse = beating({ done: 1, idle: false, applying: true }, seen);
  await vi.advanceTimersByTimeAsync(10 * STUCK_MS);
  expect(pulse.now.stuckAfter).toBeNull();
});

test('other queries to the source are no sign of life', async () => {
  await using pulse = beating({ done: 1, idle: false, applying: true }, { source: 'progressed' });
  await vi.advanceTimersByTimeAsync(STUCK_MS + 2_000);
  expect(pulse.now.stuckAfter).not.toBeNull();
});

test('an idle stream that receives keepalives is not stuck', async () => {
  await using pulse = beating({ done: 1, idle: true, applying: false });
  for (let i = 0; i < 100; i += 1) {
    await vi.advanceTimersByTimeAsync(2_000);
    pulse.now.done += 1;
  }
  expect(pulse.now.stuckAfter).toBeNull();
  expect(pulse.now.beats).toBeGreaterThan(90);
});

test('a process that was stopped for long does not count as stuck when it continues', async () => {
  await using pulse = beating({ done: 1, idle: false, applying: true });
  await vi.advanceTimersByTimeAsync(2_000);
  vi.spyOn(performance, 'now').mockReturnValue(performance.now() + 10 * STUCK_MS);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(pulse.now.stuckAfter).toBeNull();
});
