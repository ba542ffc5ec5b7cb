/** The known facts of a migration after its end: from its result, its last progress and the source. */
import * as v from 'valibot';
import { MIGRATION_COMPLETE } from '../../../contract/failure-catalogue.ts';
import { isLsn } from '../../../contract/lsn.ts';
import type { MigrationSummary } from '../../../contract/work.ts';
import { connect } from '../../../postgres/connection/connect.ts';
import type { Observer } from '../../watch/observer.ts';
import type { Sample } from '../../watch/sample.ts';
import type { Closing } from './closing.ts';

const summary = v.object({
  summary: v.string(),
  source: v.string(),
  target: v.string(),
  confirmedLsn: v.custom<MigrationSummary['confirmedLsn']>(isLsn),
  tables: v.number(),
  rows: v.nullable(v.number()),
  copiedRows: v.number(),
  copiedBytes: v.number(),
  sequences: v.number(),
  transactions: v.number(),
  changes: v.number(),
  seconds: v.number(),
});

/** @throws Error with the reason when the migration did not complete. */
export async function closingFacts(
  observer: Observer,
  last: Sample | undefined,
): Promise<Pick<Closing, 'startedAt' | 'endedAt' | 'summary'>> {
  const endedAt = new Date();
  const ending = await observer.ending();
  if (!ending.ok) throw new Error(notEnded(ending.text));
  return {
    // A closed workflow still answers queries while a worker runs.
    startedAt: last?.progress?.startedAt ?? {},
    endedAt,
    summary: v.parse(summary, ending.result),
  };
}

/** A migration that left something behind is complete nonetheless, and its message says so. Pure. */
function notEnded(text: string): string {
  return text.startsWith(MIGRATION_COMPLETE) ? text : `the migration did not complete: ${text}`;
}

/** What walferry left on either side: slots, and its schemas. By name, for the operator. */
export async function leftBehind(): Promise<string[]> {
  const left: string[] = [];
  for (const service of ['source', 'target']) {
    await using client = await connect(service, 'cleanup');
    const { rows } = await client.query<{ name: string }>(/* sql */ `
      select 'slot ' || slot_name as name from pg_replication_slots where slot_name like 'walferry%'
      union all
      select 'schema ' || nspname from pg_namespace where nspname like 'walferry%'
      order by 1`);
    left.push(...rows.map(({ name }) => `${name} on "${service}"`));
  }
  return left;
}
