/** Which activity gets a place in a worker, and in what order. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { Places } from '../../activities/places.ts';
import { Room } from '../../activities/worker-capacity.ts';
import { ACTIVITY_SLOTS, MAX_COPIES, MAX_MIGRATIONS } from '../../workers/options.ts';

const NEVER = new AbortController().signal;
const KEEP_MS = 1_000;
const at = (second: number): string => new Date(second * 1_000).toISOString();
const placesFor = (limit: number) => new Places(limit, 'open migrations', '--max-activities');
/** Takes one that must exist. */
function take(places: Places, owner: string, begun = false) {
  return places.tryTake({ owner, begun }) ?? expect.fail(`no place for ${owner}`);
}
/** Whether a wait is over, and for whom. */
function waiting(places: Places, owner: string, since: number, begun = false) {
  const seen = { entered: false };
  const place = places.wait({ owner, since: at(since), begun }, NEVER).then((got) => {
    seen.entered = true;
    return got ?? expect.fail('not aborted');
  });
  const entered = async (): Promise<boolean> => {
    await Promise.resolve();
    await Promise.resolve();
    return seen.entered;
  };
  return { place, entered };
}

describe('places of a worker', () => {
  test('200 open migrations have a place by default, and copies have separate ones', () => {
    const room = new Room({ migrations: MAX_MIGRATIONS, copies: MAX_COPIES });
    for (let i = 0; i < 200; i++)
      expect(room.migrations.tryTake({ owner: `m${i}` })).not.toBeNull();
    expect(room.copies.tryTake({ owner: 'm0' })).not.toBeNull();
    // Waiting activities have a slot of the SDK, too: four copies, a plan and a snapshot owner for each migration.
    expect(ACTIVITY_SLOTS).toBeGreaterThan(MAX_MIGRATIONS * 6);
  });

  test('the longest waiting one is next, also when it comes back later', async () => {
    const places = placesFor(1);
    const leave = places.tryTake({ owner: 'a' });
    const entered: string[] = [];
    const enter = async (owner: string, since: string): Promise<void> => {
      const left = await places.wait({ owner, since }, NEVER);
      entered.push(owner);
      left?.leave();
    };
    const all = [enter('late', at(3)), enter('early', at(1)), enter('middle', at(2))];
    expect(places.waiting).toBe(3);
    leave?.leave();
    await Promise.all(all);
    expect(entered).toEqual(['early', 'middle', 'late']);
    expect(places.tryTake({ owner: 'b' })).not.toBeNull();
  });

  test('a released place goes to a waiting one, not to a newcomer', async () => {
    const places = placesFor(1);
    const leave = places.tryTake({ owner: 'a' });
    const waiting = places.wait({ owner: 'b', since: at(1) }, NEVER);
    leave?.leave();
    expect(places.tryTake({ owner: 'newcomer' })).toBeNull();
    expect(await waiting).not.toBeNull();
    expect(places.has('a')).toBe(false);
    expect(places.has('b')).toBe(true);
  });

  test('an abandoned wait takes no place', async () => {
    const places = placesFor(1);
    const leave = places.tryTake({ owner: 'a' });
    const ended = new AbortController();
    const waiting = places.wait({ owner: 'b', since: at(1) }, ended.signal);
    ended.abort();
    expect(await waiting).toBeNull();
    expect(places.waiting).toBe(0);
    leave?.leave();
    expect(places.tryTake({ owner: 'c' })).not.toBeNull();
  });

  test('a migration with several copies has a place until the last of them has ended', () => {
    const places = placesFor(2);
    const [one, other] = [places.tryTake({ owner: 'a' }), places.tryTake({ owner: 'a' })];
    one?.leave();
    expect(places.has('a')).toBe(true);
    other?.leave();
    expect(places.has('a')).toBe(false);
  });
});

describe('a place that a stream leaves at the end of its lease', () => {
  afterEach(() => vi.useRealTimers());

  test('is kept for its next lease: a newcomer gets it neither at once nor by waiting longer', async () => {
    const places = placesFor(1);
    const newcomer = waiting(places, 'new', 1);
    take(places, 'a', true).leave(KEEP_MS);
    expect(await newcomer.entered()).toBe(false);
    expect(places.tryTake({ owner: 'other' })).toBeNull();
    const next = take(places, 'a', true);
    expect(await newcomer.entered()).toBe(false);
    // Another pass of the same migration is not a newcomer.
    next.leave(KEEP_MS);
    take(places, 'a').leave();
    expect(await newcomer.entered()).toBe(true);
  });

  test('goes to the newcomer when its migration does not claim it', async () => {
    vi.useFakeTimers();
    const places = placesFor(1);
    take(places, 'a', true).leave(KEEP_MS);
    const newcomer = waiting(places, 'new', 1);
    await vi.advanceTimersByTimeAsync(KEEP_MS - 1);
    expect(await newcomer.entered()).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(await newcomer.entered()).toBe(true);
    (await newcomer.place).leave();
    expect(places.tryTake({ owner: 'b' })).not.toBeNull();
  });

  test('goes to a stream that lost its worker, before any newcomer: these take turns', async () => {
    const places = placesFor(1);
    const lease = take(places, 'a', true);
    const newcomer = waiting(places, 'new', 1);
    const stream = waiting(places, 'b', 2, true);
    lease.leave(KEEP_MS);
    expect(await stream.entered()).toBe(true);
    const again = waiting(places, 'a', 3, true);
    (await stream.place).leave(KEEP_MS);
    expect(await again.entered()).toBe(true);
    expect(await newcomer.entered()).toBe(false);
    // It takes the place kept for another stream: leases may swap their workers.
    (await again.place).leave(KEEP_MS);
    expect(places.tryTake({ owner: 'c', begun: true })).not.toBeNull();
    expect(places.tryTake({ owner: 'a', begun: true })).toBeNull();
  });
});

describe('a place that is reserved while a snapshot is held', () => {
  test('is used by one copy of its migration at a time, and by others only when the snapshot owner has ended', async () => {
    const places = placesFor(1);
    const release = places.reserve('a', take(places, 'a'));
    expect(places.has('a')).toBe(false);
    const other = waiting(places, 'b', 1);
    const copy = take(places, 'a');
    expect(places.tryTake({ owner: 'a' })).toBeNull();
    const second = waiting(places, 'a', 2);
    copy.leave();
    expect(await second.entered()).toBe(true);
    (await second.place).leave();
    expect(await other.entered()).toBe(false);
    release();
    expect(await other.entered()).toBe(true);
  });

  test('stays with the copy that has it when the snapshot owner ends first', async () => {
    const places = placesFor(1);
    const release = places.reserve('a', take(places, 'a'));
    const copy = take(places, 'a');
    release();
    const other = waiting(places, 'b', 1);
    expect(await other.entered()).toBe(false);
    copy.leave();
    expect(await other.entered()).toBe(true);
  });

  test('is free for others while its copy is held, and is reserved again with the next place that the migration gets', async () => {
    const places = placesFor(1);
    const release = places.reserve('a', take(places, 'a'));
    const held = take(places, 'a');
    const other = waiting(places, 'b', 1);
    held.lend();
    expect(await other.entered()).toBe(true);
    const again = waiting(places, 'a', 2);
    const third = waiting(places, 'c', 3);
    (await other.place).leave();
    expect(await again.entered()).toBe(true);
    held.leave();
    (await again.place).leave();
    expect(await third.entered()).toBe(false);
    expect(places.tryTake({ owner: 'a' })).not.toBeNull();
    release();
  });

  test('is not kept by a copy that ends while the others of its migration are held', async () => {
    const places = placesFor(1);
    places.reserve('a', take(places, 'a'));
    const held = take(places, 'a');
    held.lend();
    const last = take(places, 'a');
    const other = waiting(places, 'b', 1);
    last.leave();
    expect(await other.entered()).toBe(true);
  });

  test('a copy in the middle of a chunk waits for no place: others wait until the limit is met again', async () => {
    const places = placesFor(1);
    take(places, 'a').lend();
    const other = take(places, 'b');
    const back = places.take('a');
    const third = waiting(places, 'c', 1);
    other.leave();
    expect(await third.entered()).toBe(false);
    back.leave();
    expect(await third.entered()).toBe(true);
    (await third.place).leave();
    expect(places.tryTake({ owner: 'd' })).not.toBeNull();
    expect(places.tryTake({ owner: 'e' })).toBeNull();
  });
});
