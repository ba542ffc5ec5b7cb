/** Which changes of a trap the stream applied one by one and why, as the worker's log tells it at the end of each lease. */
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

/** What was applied one by one, per table. @param log of a worker: one JSON object a line, and whatever else. */
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

/** That of a trap, with all its schemas: the changes, and `table: reasons` for each table that has some of its own. */
export function oneByOneOf(
  ways: ReadonlyMap<string, Way>,
  trap: string,
): { readonly changes: number; readonly tables: readonly string[] } {
  const own = [...ways].filter(
    ([table]) => table.startsWith(`${trap}.`) || table.startsWith(trap + MORE),
  );
  const why = new Map<string, Set<string>>();
  for (const [table, way] of own) {
    if (way.why.size === 0) continue;
    const name = short(table, trap);
    why.set(name, new Set([...(why.get(name) ?? []), ...way.why]));
  }
  return {
    changes: own.reduce((sum, [, { changes }]) => sum + changes, 0),
    tables: [...why].map(([name, all]) => `${name}: ${[...all].sort().join(', ')}`).sort(),
  };
}

/** Tables that use/value_tables.sql makes for each type are one kind. */
function short(table: string, trap: string): string {
  const name = table.startsWith(`${trap}.`) ? table.slice(trap.length + 1) : table;
  return name.replace(/^"?\w+_(value|key|full)"?$/, '*_$1');
}
