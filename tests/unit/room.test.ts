/** Who gets a place in a worker, and in what order. */
import { describe, expect, test } from 'vitest';
import { Places, Room } from '../../activities/room.ts';
import { ACTIVITY_SLOTS, MAX_COPIES, MAX_MIGRATIONS } from '../../workers/options.ts';

const NEVER = new AbortController().signal;
const at = (second: number): string => new Date(second * 1_000).toISOString();
const placesFor = (limit: number) => new Places(limit, 'open migrations', '--max-activities');

describe('places of a worker', () => {
  test('200 open migrations have theirs by default, and copies have others', () => {
    const room = new Room({ migrations: MAX_MIGRATIONS, copies: MAX_COPIES });
    for (let i = 0; i < 200; i++) expect(room.migrations.tryTake(`m${i}`)).not.toBeNull();
    expect(room.copies.tryTake('m0')).not.toBeNull();
    // Waiting activities have a slot of the SDK, too: four lanes, a plan and a holder for each migration.
    expect(ACTIVITY_SLOTS).toBeGreaterThan(MAX_MIGRATIONS * 6);
  });

  test('whoever waits longest is next, also when it comes back later', async () => {
    const places = placesFor(1);
    const leave = places.tryTake('a');
    const entered: string[] = [];
    const enter = async (owner: string, since: string): Promise<void> => {
      const left = await places.wait(owner, since, NEVER);
      entered.push(owner);
      left?.();
    };
    const all = [enter('late', at(3)), enter('early', at(1)), enter('middle', at(2))];
    expect(places.waiting).toBe(3);
    leave?.();
    await Promise.all(all);
    expect(entered).toEqual(['early', 'middle', 'late']);
    expect(places.tryTake('b')).not.toBeNull();
  });

  test('a place that is given back goes to whoever waits, not to a newcomer', async () => {
    const places = placesFor(1);
    const leave = places.tryTake('a');
    const waiting = places.wait('b', at(1), NEVER);
    leave?.();
    expect(places.tryTake('newcomer')).toBeNull();
    expect(await waiting).not.toBeNull();
    expect(places.has('a')).toBe(false);
    expect(places.has('b')).toBe(true);
  });

  test('a wait that was given up takes no place', async () => {
    const places = placesFor(1);
    const leave = places.tryTake('a');
    const ended = new AbortController();
    const waiting = places.wait('b', at(1), ended.signal);
    ended.abort();
    expect(await waiting).toBeNull();
    expect(places.waiting).toBe(0);
    leave?.();
    expect(places.tryTake('c')).not.toBeNull();
  });

  test('a migration with several copies has a place until the last of them has ended', () => {
    const places = placesFor(2);
    const [one, other] = [places.tryTake('a'), places.tryTake('a')];
    one?.();
    expect(places.has('a')).toBe(true);
    other?.();
    expect(places.has('a')).toBe(false);
  });
});
