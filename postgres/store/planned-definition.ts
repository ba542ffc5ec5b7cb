/**
 * What is recorded of a table when the stream starts to follow it: with its copy, or when a partition joins its tree without one.
 */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import type { Keeper } from '../catalog/table-file.ts';
import type { Relation } from '../catalog/relation.ts';
import type { TableDefinition } from '../catalog/table-definition.ts';
import type { TypePairs } from '../catalog/type-pair.ts';
import { recordTypes, type RecordedTypes } from '../catalog/type-record.ts';

/** The source's columns as the stream has followed them, and the target's attribute numbers at that time. */
export interface PlannedDefinition {
  readonly source: TableDefinition;
  /** Columns by which the source's changes find their row. */
  readonly key: readonly string[] | null;
  /** Attribute numbers by column name: a column that was dropped and re-added on the target has lost its values. */
  readonly target: Readonly<Record<string, number>>;
  /** The target's table and file at the last check; unset by earlier versions. */
  readonly keeper?: Keeper;
  /** Parts of the columns' types; unset before the first check. */
  readonly types?: RecordedTypes;
}

/** @param keeper unset: the next drift check records the target's file. */
export function plannedDefinition(
  { relation, target }: { readonly relation: Relation; readonly target: Relation },
  source: TableDefinition,
  types: TypePairs,
  keeper?: Keeper,
): PlannedDefinition {
  return {
    ...{ source, key: relation.key, target: numbersOf(target) },
    ...(keeper && { keeper }),
    types: recordTypes(types.columns(relation, target), types),
  };
}

/** A table's attribute numbers by column name. */
export function numbersOf(relation: Pick<Relation, 'columns'>): Record<string, number> {
  return Object.fromEntries(relation.columns.map(({ name, attnum }) => [name, attnum]));
}

/** Characters per statement: encoding the definitions of wide tables all at once would block heartbeats. */
const DEFINITION_CHARACTERS = 1_000_000;

/** Stores the definitions that the stream has followed, in several statements. */
export async function storeDefinitions(
  target: pg.ClientBase,
  migration: Migration,
  definitions: ReadonlyMap<number, PlannedDefinition>,
): Promise<void> {
  let [ids, texts, size]: [number[], string[], number] = [[], [], 0];
  const store = async (): Promise<void> => {
    await target.query(
      /* sql */ `
      update walferry.relation r set definition = new.definition
        from unnest($2::integer[], $3::text[]) as given (id, text), lateral (select given.text::jsonb as definition) new
       where r.migration = $1 and r.id = given.id`,
      [migration.id, ids, texts],
    );
    [ids, texts, size] = [[], [], 0];
  };
  for (const [id, definition] of definitions) {
    const text = JSON.stringify(definition);
    ids.push(id);
    texts.push(text);
    size += text.length;
    if (size >= DEFINITION_CHARACTERS) await store();
  }
  if (ids.length > 0) await store();
}

/** Stores the current files of tables on the target; the rest of their definitions stays. */
export async function storeKeepers(
  target: pg.ClientBase,
  migration: Migration,
  keepers: ReadonlyMap<number, Keeper>,
): Promise<void> {
  await target.query(
    /* sql */ `
    update walferry.relation r set definition = jsonb_set(r.definition, '{keeper}', new.keeper)
      from unnest($2::integer[], $3::text[]) as given (id, text), lateral (select given.text::jsonb as keeper) new
     where r.migration = $1 and r.id = given.id`,
    [
      migration.id,
      [...keepers.keys()],
      [...keepers.values()].map((keeper) => JSON.stringify(keeper)),
    ],
  );
}
