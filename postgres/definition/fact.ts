/** A fact about one object of a database, in a form that two servers print in the same words. */
import type pg from 'pg';

/** One row of a query for facts. What a query does not select is unset. */
export interface FactRow {
  /** Of a relation and its parts. */
  readonly schema?: string | null;
  readonly table?: string;
  /** Kind and name of a part of the relation, `index t_n`; empty: the relation itself. */
  readonly part?: string;
  /** Of any other object, as `pg_identify_object` prints them. */
  readonly kind?: string;
  readonly identity?: string;
  /** The property; empty: that the object exists, with this definition. */
  readonly what?: string;
  readonly text: string | null;
  /** SQL that gives the target this fact; null if there is no single statement. */
  readonly make?: string | null;
  /** SQL that takes it away. */
  readonly remove?: string | null;
  /** The part that this one belongs to: it is not said twice. */
  readonly under?: string | null;
  /** Name of the object as pg_dump's list of contents has it, without the arguments of functions. */
  readonly tag?: string | null;
  /** Catalog and oid. */
  readonly cls?: string | null;
  readonly oid?: string | null;
  /** False: pg_dump does not carry it, so it may be missing on the target. */
  readonly moved?: boolean;
}

export interface Fact {
  /** As the operator reads it: `public.t: index t_n`, `function app.f(integer)`. */
  readonly object: string;
  /** The same for what it belongs to; null: it stands alone. */
  readonly relation: string | null;
  readonly under: string | null;
  readonly what: string;
  readonly text: string;
  readonly make: string | null;
  readonly remove: string | null;
  readonly schema: string | null;
  readonly tag: string;
  /** Key of the catalog row, for what the selection leaves out. */
  readonly row: string;
  readonly moved: boolean;
  /** Whether it is about a table or view itself. */
  readonly isRelation: boolean;
}

export interface Both {
  readonly source: readonly Fact[];
  readonly target: readonly Fact[];
}

/** The same on both sides. */
export function keyOfFact({ object, what }: Pick<Fact, 'object' | 'what'>): string {
  return JSON.stringify([object, what]);
}

/** Key of a row of the catalogs. */
export function rowKey(cls: string | null | undefined, oid: string | null | undefined): string {
  return `${cls ?? ''} ${oid ?? ''}`;
}

export function factOf(row: FactRow): Fact {
  const relation = row.table === undefined ? null : `${row.schema ?? ''}.${row.table}`;
  const part = row.part ?? '';
  const within = (name: string) => `${relation ?? ''}: ${name}`;
  const alone = `${row.kind ?? ''} ${row.identity ?? ''}`;
  return {
    object: relation === null ? alone : part === '' ? relation : within(part),
    relation: part === '' ? null : relation,
    under: row.under == null ? null : within(row.under),
    what: row.what ?? '',
    text: row.text ?? '',
    make: row.make ?? null,
    remove: row.remove ?? null,
    schema: row.schema ?? null,
    tag:
      row.tag ??
      (relation === null || part === ''
        ? (row.table ?? '')
        : `${row.table ?? ''} ${lastWord(part)}`),
    row: rowKey(row.cls, row.oid),
    moved: row.moved ?? true,
    isRelation: relation !== null && part === '',
  };
}

/** `index t n` is the index "t n". */
function lastWord(part: string): string {
  return part.slice(part.indexOf(' ') + 1);
}

/** @param values of the query's parameters. */
export async function readFacts(
  client: pg.ClientBase,
  sql: string,
  values: readonly unknown[],
): Promise<Fact[]> {
  return (await client.query<FactRow>(sql, [...values])).rows.map(factOf);
}
