/** Reads the sequences of one side, and pairs those of both sides. */
import type pg from 'pg';
import { SYSTEM_SCHEMAS } from '../catalog/own-object.ts';

export interface Sequence {
  readonly schema: string;
  readonly name: string;
  /** Table of the owning column (serial, identity); null for a standalone sequence. */
  readonly table: string | null;
  readonly table_schema: string | null;
  readonly column: string | null;
  /** Oids of tables with a default that uses it. */
  readonly users: readonly number[];
  /** Its qualified name, quoted. */
  readonly sql: string;
}

/** All sequences except the system's, walferry's and those of extensions; the caller filters by selection. */
const SEQUENCES = /* sql */ `
select n.nspname as schema, s.relname as name, tn.nspname as table_schema, t.relname as table,
       a.attname as column, format('%I.%I', n.nspname, s.relname) as sql,
       array(select f.adrelid::int8::float8
               from pg_catalog.pg_depend u
               join pg_catalog.pg_attrdef f on f.oid = u.objid
              where u.classid = 'pg_catalog.pg_attrdef'::regclass
                and u.refclassid = 'pg_catalog.pg_class'::regclass and u.refobjid = s.oid) as users
  from pg_catalog.pg_class s
  join pg_catalog.pg_namespace n on n.oid = s.relnamespace
  left join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_class'::regclass and d.objid = s.oid
        and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjsubid > 0 and d.deptype in ('a', 'i')
  left join pg_catalog.pg_class t on t.oid = d.refobjid
  left join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace
  left join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum = d.refobjsubid
 where s.relkind = 'S' and s.relpersistence <> 't'
   and n.nspname not in ('pg_catalog', ${SYSTEM_SCHEMAS}) and n.nspname !~ '^pg_(toast|temp)'
   and not exists (select from pg_catalog.pg_depend e
                    where e.classid = 'pg_catalog.pg_class'::regclass and e.objid = s.oid and e.deptype = 'e')
 order by 1, 2`;

export async function readSequences(client: pg.ClientBase): Promise<Sequence[]> {
  return (await client.query<Sequence>(SEQUENCES)).rows;
}

/** Key for maps and sets. */
export function keyOf(schema: string | null, name: string): string {
  return JSON.stringify([schema, name]);
}

/**
 * The target's sequence for each of the source's: the one with the same name, or else the one that the same column owns. By
 * column only if the column owns exactly one on each side: a serial that became an identity keeps its old sequence, and the
 * column owns both. No sequence is used twice.
 */
export function pairSequences(
  source: readonly Sequence[],
  target: readonly Sequence[],
): ReadonlyMap<Sequence, Sequence> {
  const named = new Map(target.map((one) => [keyOf(one.schema, one.name), one]));
  const [here, there] = [byColumn(source), byColumn(target)];
  const only = (one: Sequence): Sequence | undefined => {
    const owner = ownerOf(one);
    if (owner === null || here.get(owner)?.length !== 1) return undefined;
    const owned = there.get(owner) ?? [];
    return owned.length === 1 ? owned[0] : undefined;
  };
  const pairs = new Map<Sequence, Sequence>();
  const taken = new Set<Sequence>();
  const unnamed: Sequence[] = [];
  for (const one of source) {
    const same = named.get(keyOf(one.schema, one.name));
    const owned = only(one);
    // If the column owns a different one, the name may now belong to a sequence with another purpose.
    if (same === undefined || (owned !== undefined && owned !== same)) {
      unnamed.push(one);
      continue;
    }
    pairs.set(one, same);
    taken.add(same);
  }
  for (const one of unnamed) {
    const match = only(one);
    if (match === undefined || taken.has(match)) continue;
    pairs.set(one, match);
    taken.add(match);
  }
  return pairs;
}

function byColumn(sequences: readonly Sequence[]): Map<string, Sequence[]> {
  const found = new Map<string, Sequence[]>();
  for (const one of sequences) {
    const owner = ownerOf(one);
    if (owner !== null) found.set(owner, [...(found.get(owner) ?? []), one]);
  }
  return found;
}

function ownerOf({ table_schema, table, column }: Sequence): string | null {
  return table === null ? null : JSON.stringify([table_schema, table, column]);
}
