/**
 * Which tables of the source get the fence. A statement fires the triggers of the table that it names, and only those: so besides
 * the selected tables every ancestor needs one (an update through an inheritance parent, an insert through a partitioned table).
 */
import type pg from 'pg';
import { readCandidates, type Candidate } from '../catalog/read-relations.ts';
import type { Selection } from '../catalog/selection.ts';
import { nameOf } from '../catalog/table-name.ts';
import { fenceNames } from './fence-name.ts';
import type { Migration } from '../../contract/migration.ts';

export interface FencedTables {
  readonly tables: readonly Candidate[];
  /** Unselected tables that share an unselected ancestor with a selected one: writes to them through it are refused, too. */
  readonly also: readonly string[];
}

/** Pure: {@link readFencedTables} on what was read. */
export function fencedAmong(
  all: readonly Candidate[],
  selected: ReadonlySet<number>,
): FencedTables {
  const byOid = new Map(all.map((one) => [one.oid, one]));
  const fenced = new Set<number>();
  const add = (oid: number): void => {
    if (fenced.has(oid)) return;
    fenced.add(oid);
    for (const parent of byOid.get(oid)?.parents ?? []) add(parent);
  };
  for (const oid of selected) add(oid);
  const outside = new Set([...fenced].filter((oid) => !selected.has(oid)));
  // Parents come with their oids only; whoever has one of them among its ancestors is written through it.
  const below = (one: Candidate, seen: Set<number>): boolean =>
    one.parents.some((oid) => {
      if (seen.has(oid)) return false;
      seen.add(oid);
      const parent = byOid.get(oid);
      return outside.has(oid) || (parent !== undefined && below(parent, seen));
    });
  const tables = [...fenced].flatMap((oid) => {
    const one = byOid.get(oid);
    // Foreign tables cannot be selected; their rows are another server's.
    return one === undefined || one.kind === 'f' ? [] : [one];
  });
  const also = all.filter((one) => !selected.has(one.oid) && below(one, new Set())).map(nameOf);
  return { tables, also: also.sort() };
}

/** The tables that need the fence now. Reads catalogs only, without a lock on any table. */
export async function readFencedTables(
  client: pg.ClientBase,
  selection: Selection,
): Promise<FencedTables> {
  const { all, selected } = await readCandidates(client, selection);
  return fencedAmong(all, selected);
}

export interface FenceTrigger {
  readonly oid: number;
  /** `tgenabled`: `O`, `A`; `D` and `R` do not bind. */
  readonly state: string;
}

/** The state of the migration's trigger on each of these tables that has it. */
export async function readTriggers(
  client: pg.ClientBase,
  migration: Pick<Migration, 'id'>,
  tables: readonly { readonly oid: number }[],
): Promise<ReadonlyMap<number, string>> {
  const { trigger, functionSql } = fenceNames(migration);
  const { rows } = await client.query<FenceTrigger>(
    /* sql */ `
    select g.tgrelid::int8::float8 as oid, g.tgenabled::text as state
      from pg_catalog.pg_trigger g
     where g.tgrelid = any($1::oid[]) and g.tgname = $2
       and g.tgfoid = pg_catalog.to_regprocedure($3)`,
    [tables.map(({ oid }) => oid), trigger, `${functionSql}()`],
  );
  return new Map(rows.map(({ oid, state }) => [oid, state]));
}

/** Whether a trigger in this state refuses ordinary sessions. */
export const binds = (state: string | undefined): boolean => state === 'O' || state === 'A';
