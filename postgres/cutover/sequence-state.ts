/**
 * Which sequences a cutover sets, and the state that they have. The step that sets them and the last look read the same ones, so that
 * none is set and not looked at.
 */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { lockCapacity, within } from '../catalog/capacity.ts';
import type { Relation } from '../catalog/relation.ts';
import { compileSelection, takesSchema, type Selection } from '../catalog/selection.ts';
import { hasSchemaControl } from '../schema/control.ts';
import { keyOf, pairSequences, readSequences, type Sequence } from './sequence.ts';

/** What the next value depends on, beside the options. */
export interface State {
  /** `last_value`; text, so that no digit is lost. */
  readonly value: string;
  /** `is_called`: whether `value` was given out. */
  readonly called: boolean;
}

export interface Wanted {
  /** The source's sequences that belong to the migration. */
  readonly sequences: readonly Sequence[];
  /** The target's for each of them; those that the target lacks are not in it. */
  readonly pairs: ReadonlyMap<Sequence, Sequence>;
}

interface Sides {
  readonly source: pg.ClientBase;
  readonly target: pg.ClientBase;
}

/** Sequences that one statement reads, or one transaction sets; each is a relation to open and lock. */
export const SEQUENCES_AT_ONCE = 500;

/**
 * @param selection of the input.
 * @param relations the tables that it selects.
 */
export async function readWanted(
  { source, target }: Sides,
  migration: Migration,
  selection: Selection,
  relations: readonly Relation[],
): Promise<Wanted> {
  const made = await madeByUs(target, migration);
  const here = await readSequences(source);
  const pairs = pairSequences(here, await readSequences(target));
  return { sequences: wantedOf(here, selection, relations, made), pairs };
}

/**
 * The sequences that belong to the migration: those that selected tables own or take defaults from, those that walferry created, and
 * those of no table in schemas with selected tables or that a pattern `schema.*` takes. Like views, the latter may be excluded by
 * name. Not those of tables left out, unless one of the former holds.
 */
function wantedOf(
  all: readonly Sequence[],
  selection: Selection,
  relations: readonly Relation[],
  made: ReadonlySet<string>,
): Sequence[] {
  const tables = new Set(relations.map(({ schema, name }) => keyOf(schema, name)));
  const oids = new Set(relations.map(({ oid }) => oid));
  const schemas = new Set(relations.map(({ schema }) => schema));
  const takes = takesSchema(selection);
  const matcher = compileSelection(selection);
  const free = (one: Sequence) =>
    (schemas.has(one.schema) || takes(one.schema)) && !matcher.excludes(one);
  return all.filter(
    (sequence) =>
      (sequence.table === null
        ? free(sequence)
        : tables.has(keyOf(sequence.table_schema, sequence.table))) ||
      sequence.users.some((oid) => oids.has(oid)) ||
      made.has(keyOf(sequence.schema, sequence.name)),
  );
}

/** Sequences that walferry created on the target, whatever schema they are in. */
async function madeByUs(target: pg.ClientBase, migration: Migration): Promise<Set<string>> {
  if (!(await hasSchemaControl(target))) return new Set();
  const { rows } = await target.query<{ schema_name: string; name: string }>(
    /* sql */ `
    select schema_name, name from walferry.schema_entry where migration = $1 and kind = 'SEQUENCE'`,
    [migration.id],
  );
  return new Set(rows.map(({ schema_name, name }) => keyOf(schema_name, name)));
}

/** @param told how many were read before. */
export async function readStates(
  client: pg.ClientBase,
  sequences: readonly Sequence[],
  told: (done: number) => void,
): Promise<ReadonlyMap<Sequence, State>> {
  const states = new Map<Sequence, State>();
  const size = within(await lockCapacity(client), 1, SEQUENCES_AT_ONCE);
  for (let at = 0; at < sequences.length; at += size) {
    const some = sequences.slice(at, at + size);
    told(at);
    const reads = some.map(
      ({ sql }, i) =>
        `select ${i} as i, last_value::text as value, is_called as called from ${sql}`,
    );
    const { rows } = await client.query<State & { i: number }>(reads.join(' union all '));
    for (const { i, value, called } of rows) {
      const sequence = some[i];
      if (sequence !== undefined) states.set(sequence, { value, called });
    }
  }
  return states;
}
