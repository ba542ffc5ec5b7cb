/** Choices from one seed. */
import { random } from '../load.ts';

/** Draws and prints a seed; `WALFERRY_SEED` repeats a run. */
export const drawn = (): Pick => new Pick(drawnSeed());

/** The same, for whoever makes its own choices. */
export function drawnSeed(): number {
  const seed = Number(process.env['WALFERRY_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  process.stdout.write(`seed ${seed}\n`);
  return seed;
}

export class Pick {
  /** From 0 to 1, without 1. */
  readonly next: () => number;

  constructor(seed: number) {
    this.next = random(seed);
  }

  /** A whole number from 0 to `below` - 1. */
  below(below: number): number {
    return Math.floor(this.next() * below);
  }

  /** True in this share of all calls. */
  chance(share: number): boolean {
    return this.next() < share;
  }

  one<T>(items: readonly [T, ...T[]]): T;
  one<T>(items: readonly T[]): T;
  one<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new Error('nothing to pick from');
    return item;
  }

  /** Some of the items, in their order. */
  some<T>(items: readonly T[], share: number): T[] {
    return items.filter(() => this.chance(share));
  }
}
