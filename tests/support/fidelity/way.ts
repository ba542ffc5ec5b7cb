/**
 * Which changes of a case the stream applied one by one and why, as the worker's log reports it at the end of each
 * lease.
 */
import * as v from 'valibot';
import { MORE } from './comparison.ts';

const leaseEnded = v.object({
  msg: v.literal('lease ended'),
  oneByOne: v.array(v.tuple([v.string(), v.number(), v.string()])),
});

interface Way {
  changes: number;
  /** Empty where all of them only follow a change of another kind, or a TRUNCATE. */
  readonly why: Set<string>;
}

/**
 * What was applied one by one, per table.
 * @param log of a worker: one JSON object a line, among other lines.
 */
export function readOneByOne(log: string): ReadonlyMap<string, Way> {
  const found = new Map<string, Way>();
  for (const line of log.split('\n')) {
    if (!line.includes('lease ended')) continue;
    for (const [table, changes, why] of v.parse(leaseEnded, JSON.parse(line)).oneByOne) {
      const way = found.get(table) ?? { changes: 0, why: new Set<string>() };
      way.changes += changes;
      for (const one of why.split(', ')) if (one !== '') way.why.add(one);
      found.set(table, way);
    }
  }
  return found;
}

/** Those of a case, with all its schemas: how many, and whether the target refused rows of it. */
export function oneByOneOf(
  ways: ReadonlyMap<string, Way>,
  fidelityCase: string,
): { readonly changes: number; readonly refused: boolean } {
  const own = [...ways].flatMap(([table, way]) =>
    table.startsWith(`${fidelityCase}.`) || table.startsWith(fidelityCase + MORE) ? [way] : [],
  );
  return {
    changes: own.reduce((sum, { changes }) => sum + changes, 0),
    refused: own.some(({ why }) => why.has('refused')),
  };
}
