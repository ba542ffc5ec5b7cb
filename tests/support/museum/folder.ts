/** The museum's files. One that cannot be read is one failure, by its name, and no other trap's. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { randomTrap } from './random.ts';
import { parseTrap } from './trap.ts';
import type { Trap } from './trap.ts';

export interface Museum {
  readonly traps: readonly Trap[];
  /** Files that are no trap, and why. */
  readonly broken: readonly { readonly name: string; readonly reason: string }[];
}

/**
 * Reads every trap of a folder, and makes the one of random values.
 * @param seed of the random values.
 */
export function readMuseum(folder: string, seed: number): Museum {
  const read = (file: string): string => readFileSync(path.join(folder, file), 'utf8');
  const shared = (name: string): string | undefined => {
    const file = path.join('use', `${name}.sql`);
    return existsSync(path.join(folder, file)) ? read(file) : undefined;
  };
  const makers = readdirSync(folder)
    .filter((file) => file.endsWith('.sql'))
    .sort()
    .map((file) => ({
      name: path.basename(file, '.sql'),
      make: () => parseTrap(`tests/museum/${file}`, read(file), shared),
    }));
  makers.push({ name: 'random_value', make: () => randomTrap(seed, shared) });
  const traps: Trap[] = [];
  const broken: { name: string; reason: string }[] = [];
  for (const { name, make } of makers) {
    try {
      traps.push(make());
    } catch (error) {
      broken.push({ name, reason: error instanceof Error ? error.message : String(error) });
    }
  }
  return { traps, broken };
}
