/** Which changes of a trap the stream applied one by one, as the worker's log tells it at the end of each lease. */
import * as v from 'valibot';
import { MORE } from './comparison.ts';

const leaseEnded = v.object({
  msg: v.literal('lease ended'),
  oneByOne: v.array(v.tuple([v.string(), v.number()])),
});

/** Changes that were applied one by one, per schema. @param log of a worker: one JSON object a line, and whatever else. */
export function readOneByOne(log: string): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const line of log.split('\n')) {
    if (!line.includes('lease ended')) continue;
    for (const [table, changes] of v.parse(leaseEnded, JSON.parse(line)).oneByOne) {
      const schema = table.slice(0, table.indexOf('.'));
      found.set(schema, (found.get(schema) ?? 0) + changes);
    }
  }
  return found;
}

/** Those of a trap, with all its schemas. */
export function oneByOneOf(changes: ReadonlyMap<string, number>, trap: string): number {
  return [...changes]
    .filter(([schema]) => schema === trap || schema.startsWith(trap + MORE))
    .reduce((sum, [, n]) => sum + n, 0);
}
