/**
 * Compares the check constraints that were deferred to the cutover: reports those that the target lacks or has with a different
 * definition, because it rejected the statement or a table was renamed. The summary lists them; they do not stop the cutover.
 */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { nameOf } from '../catalog/table-name.ts';
import { classify } from '../connection/failure.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import type { Attempt } from '../schema/switching.ts';
import { bounded } from './object-differences.ts';
import { readChecks } from '../store/check-entry.ts';
import { SYSTEM_SCHEMAS } from '../catalog/own-object.ts';

interface Check {
  readonly kind: 'TABLE' | 'DOMAIN';
  readonly schema: string;
  readonly name: string;
  readonly constraint: string;
}

interface Described extends Check {
  readonly text: string;
}

/** Selects only by constraint name: the table or schema may have been renamed on both sides. */
const CHECKS = /* sql */ `
select case k.contypid when 0 then 'TABLE' else 'DOMAIN' end as kind, n.nspname as schema,
       coalesce(c.relname, t.typname) as name, k.conname as "constraint",
       regexp_replace(pg_catalog.pg_get_constraintdef(k.oid), ' NOT VALID$', '') as text
  from pg_catalog.pg_constraint k
  left join pg_catalog.pg_class c on c.oid = k.conrelid
  left join pg_catalog.pg_type t on t.oid = k.contypid
  join pg_catalog.pg_namespace n on n.oid = coalesce(c.relnamespace, t.typnamespace)
 where k.contype in ('c', 'n') and k.conname = any($1) and n.nspname !~ '^pg_' and n.nspname not in (${SYSTEM_SCHEMAS})`;

/** Which of these tables or domains exist on the target. */
const THERE = /* sql */ `
select w.at - 1 as at from unnest($1::text[], $2::text[]) with ordinality as w (schema, name, at)
 where to_regclass(format('%I.%I', w.schema, w.name)) is not null or to_regtype(format('%I.%I', w.schema, w.name)) is not null`;

/**
 * Compares the constraints on both sides. Read-only.
 * @returns sentences without a full stop, bounded and worded like those of `objectDifferences`.
 * @throws MigrationError `Unreachable`, `Denied`.
 */
export async function checkDifferences(
  migration: Migration,
  { signal }: Attempt = {},
): Promise<string[]> {
  try {
    await using target = await connectTarget(migration, 'cutover', { ...(signal && { signal }) });
    const deferred = await readChecks(target, migration, 'all');
    if (deferred.length === 0) return [];
    await using source = await connectSource(migration, 'cutover', { ...(signal && { signal }) });
    const names = [[...new Set(deferred.map(({ constraint }) => constraint))]];
    const here = (await source.query<Described>(CHECKS, names)).rows;
    const there = new Map(
      (await target.query<Described>(CHECKS, names)).rows.map((one) => [keyOf(one), one.text]),
    );
    const missing = here.filter((one) => !there.has(keyOf(one)));
    // A constraint with the same name may belong to a table that is not selected.
    const ours = new Set(deferred.map(keyOf));
    const present = await presentOf(target, missing);
    return bounded(
      [
        ...missing
          .filter((one) => ours.has(keyOf(one)) || present.has(one))
          .map((one) => `${sentence(one)} is on the source only`),
        ...here
          .filter((one) => there.has(keyOf(one)) && there.get(keyOf(one)) !== one.text)
          .map((one) => `${sentence(one)} differs`),
      ].sort(),
    );
  } catch (error) {
    signal?.throwIfAborted();
    throw classify(error, { step: 'comparing check constraints' }, 'Internal');
  }
}

async function presentOf(
  target: pg.ClientBase,
  checks: readonly Described[],
): Promise<ReadonlySet<Described>> {
  const { rows } = await target.query<{ at: string }>(THERE, [
    checks.map(({ schema }) => schema),
    checks.map(({ name }) => name),
  ]);
  return new Set(rows.flatMap(({ at }) => checks[Number(at)] ?? []));
}

function sentence(one: Check): string {
  return `${nameOf(one)}: constraint ${one.constraint}`;
}

function keyOf({ kind, schema, name, constraint }: Check): string {
  return JSON.stringify([kind, schema, name, constraint]);
}
