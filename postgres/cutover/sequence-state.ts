/**
 * Which sequences a cutover sets, and their state. The step that sets them and the final check use the same list, so that every
 * sequence that is set is also checked.
 */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { lockableObjects } from '../catalog/lock-capacity.ts';
import type { Relation } from '../catalog/relation.ts';
import { compileSelection, takesSchema, type Selection } from '../catalog/selection.ts';
import { keyOf, pairSequences, readSequences, type Sequence } from './sequence.ts';
import { readCreatedSequences } from '../store/schema-entry.ts';

/** What determines the next value, apart from the options. */
export interface State {
  /** `last_value`; text, so that no digit is lost. */
  readonly value: string;
  /** `is_called`: whether `value` was already returned. */
  readonly called: boolean;
}

export interface Wanted {
  /** The source's sequences that belong to the migration. */
  readonly sequences: readonly Sequence[];
  /** Their counterparts on the target; sequences that the target lacks have no entry. */
  readonly pairs: ReadonlyMap<Sequence, Sequence>;
}

/** Of a table that the selection takes. */
type Named = Pick<Relation, 'oid' | 'schema' | 'name'>;

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
  relations: readonly Named[],
): Promise<Wanted> {
  const created = await createdByWalferry(target, migration);
  const here = await readSequences(source);
  const pairs = pairSequences(here, await readSequences(target));
  return { sequences: wantedOf(here, selection, relations, created), pairs };
}

/**
 * The sequences that belong to the migration: those that selected tables own or use in defaults, those that walferry created, and
 * those without an owning table in schemas that have selected tables or match a pattern `schema.*`. Like views, the latter can be
 * excluded by name. Sequences of unselected tables belong only if one of the other conditions applies.
 */
function wantedOf(
  all: readonly Sequence[],
  selection: Selection,
  relations: readonly Named[],
  created: ReadonlySet<string>,
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
      created.has(keyOf(sequence.schema, sequence.name)),
  );
}

/** Sequences that walferry created on the target, in any schema. */
async function createdByWalferry(
  target: pg.ClientBase,
  migration: Migration,
): Promise<Set<string>> {
  const created = await readCreatedSequences(target, migration.id);
  return new Set(created.map(({ schema, name }) => keyOf(schema, name)));
}

/** @param report called with the number of sequences read so far. */
export async function readStates(
  client: pg.ClientBase,
  sequences: readonly Sequence[],
  report: (done: number) => void,
): Promise<ReadonlyMap<Sequence, State>> {
  const states = new Map<Sequence, State>();
  const size = await lockableObjects([client], 1, SEQUENCES_AT_ONCE);
  for (let at = 0; at < sequences.length; at += size) {
    const some = sequences.slice(at, at + size);
    report(at);
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
