/** Takes all cases through as few migrations as possible, on one pair of servers. */
import path from 'node:path';
import type { OtherPostgres } from '../../../scripts/local/setup/versions.ts';
import { freshPair } from '../database.ts';
import type { Places } from '../database.ts';
import { serverOf } from '../versions.ts';
import { groupCases, migrateGroup } from './group.ts';
import { missingFor } from './need.ts';
import type { Outcome } from './outcome.ts';
import { refuse } from './refusal.ts';
import type { FidelityCase } from './case.ts';

/** The outcomes of the cases; cases whose needs the servers do not meet are skipped and say why. */
export async function visit(
  cases: readonly FidelityCase[],
  places: Places = {},
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const present: FidelityCase[] = [];
  {
    await using pair = await freshPair(places);
    for (const fidelityCase of cases) {
      const missing = await missingFor(fidelityCase, pair.sourceClient, pair.targetClient);
      if (missing === null) present.push(fidelityCase);
      else outcomes.push(skipped(fidelityCase, missing));
    }
  }
  for (const fidelityCase of present) {
    if (fidelityCase.refused !== null)
      outcomes.push(await refuse(fidelityCase, fidelityCase.refused, places));
  }
  const moved = present.filter(({ refused }) => refused === null);
  if (moved.length === 0) return outcomes;
  // One after another: a transaction that one case leaves open for a while would keep another group's slot waiting.
  for (const group of groupCases(moved)) outcomes.push(...(await migrateGroup(group, places)));
  return outcomes;
}

/**
 * The same on two servers of another version, started for it: they have what this machine's servers may lack.
 */
export async function visitOther(
  cases: readonly FidelityCase[],
  postgres: OtherPostgres,
): Promise<Outcome[]> {
  if (cases.length === 0) return [];
  const [source, target] = await Promise.all([
    serverOf('source', postgres),
    serverOf('target', postgres),
  ]);
  const before = process.env['PATH'];
  // For the worker's pg_dump, and that of preflight here: it must be at least of the source's version.
  process.env['PATH'] = [postgres.folder, before ?? ''].join(path.delimiter);
  try {
    const outcomes = await visit(cases, { source, target });
    return outcomes.map((one) => ({ ...one, on: `PostgreSQL ${postgres.version}` }));
  } finally {
    process.env['PATH'] = before ?? '';
    await Promise.all([source.stop('immediate'), target.stop('immediate')]);
  }
}

/** A case whose needs no server here meets. */
export function skipped({ name }: FidelityCase, why: string): Outcome {
  return { name, copied: null, streamed: null, result: 'skipped', details: [why] };
}
