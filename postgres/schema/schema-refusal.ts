/** Why the target's schema could not be created, and how to fix it. */
import { listed } from '../../contract/listed.ts';
import { MigrationError } from '../../contract/failure.ts';
import type { FilteredArchive } from '../archive/archive-filter.ts';
import type { StoredEntry } from '../store/schema-entry.ts';
import type { Session } from '../session/session.ts';

const SHOWN = 10;

/** Names event triggers: they are not part of the schema, so readers of the error would not look for the cause there. */
export async function withTriggers(
  session: Session,
  failure: MigrationError,
): Promise<MigrationError> {
  const { rows } = await session.query<{ name: string }>(/* sql */ `
    select quote_ident(evtname) as name from pg_catalog.pg_event_trigger where evtenabled in ('O', 'A') order by 1`);
  if (rows.length === 0) return failure;
  const names = rows.slice(0, SHOWN).map(({ name }) => name);
  return new MigrationError(
    failure.code,
    `${failure.message}; event triggers on the target may have blocked it: ${names.join(', ')} (alter event trigger … disable, until the migration ends)`,
    failure.details,
    failure.cause,
  );
}

/** @throws MigrationError `SchemaFailed` naming selected tables that need something that is left out. */
export function refuseUncreatable(plan: Pick<FilteredArchive, 'uncreatable'>): void {
  if (plan.uncreatable.length === 0) return;
  throw new MigrationError(
    'SchemaFailed',
    `the selection cannot be created: ${listed(plan.uncreatable, SHOWN, '; ')}`,
  );
}

/** Adds advice for views: one may use what the target's version lacks, and can be excluded. */
export function advised(
  { kind, schema, name }: StoredEntry,
  failure: MigrationError,
): MigrationError {
  if (kind !== 'VIEW' && kind !== 'MATERIALIZED VIEW') return failure;
  return new MigrationError(
    failure.code,
    `${failure.message}; if the target lacks what it reads, exclude it in the input: "tables": {"exclude": ["${schema ?? ''}.${name}"]}`,
    failure.details,
    failure.cause,
  );
}
