/**
 * The fidelity suite's files. A file that cannot be read is one failure, under its name, and affects no other case.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { randomCase } from './random.ts';
import { parseCase } from './case.ts';
import type { FidelityCase } from './case.ts';

export interface FidelitySuite {
  readonly cases: readonly FidelityCase[];
  /** Files that are not a valid case, and why. */
  readonly broken: readonly { readonly name: string; readonly reason: string }[];
}

/**
 * Reads every case of a folder, and generates the one of random values.
 * @param seed of the random values.
 */
export function readFidelity(folder: string, seed: number): FidelitySuite {
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
      make: () => parseCase(`tests/fidelity/${file}`, read(file), shared),
    }));
  makers.push({ name: 'random_value', make: () => randomCase(seed, shared) });
  const cases: FidelityCase[] = [];
  const broken: { name: string; reason: string }[] = [];
  for (const { name, make } of makers) {
    try {
      cases.push(make());
    } catch (error) {
      broken.push({ name, reason: error instanceof Error ? error.message : String(error) });
    }
  }
  return { cases, broken };
}
