/**
 * A random schema: tables with every kind of identity, partitions of every kind, foreign keys with actions, identity
 * and generated columns, gaps in the attribute numbers.
 */
import pg from 'pg';
import type { Pick } from './pick.ts';
import { KEY_TYPES, TYPES, namePool, textPool } from './values.ts';
import type { KeyType, RandomType } from './values.ts';

/** How a table's rows are identified on the source. */
export type Identity = 'key' | 'composite' | 'index' | 'full' | 'full with key' | 'deferrable';

export interface RandomTable {
  /** Quoted, with its schema. */
  readonly name: string;
  readonly identity: Identity;
  readonly key: readonly { readonly column: string; readonly type: KeyType }[];
  /** Columns that may be written, besides the key. */
  readonly columns: readonly { readonly column: string; readonly type: RandomType }[];
  readonly large: string;
  /** An identity column, and whether it may be written at all. */
  readonly counter: { readonly column: string; readonly always: boolean } | null;
  /** Columns that point at rows of a table, this one included. */
  readonly references: { readonly column: string; readonly to: RandomTable }[];
}

export interface RandomSchema {
  readonly sql: string;
  readonly tables: readonly RandomTable[];
  readonly texts: readonly string[];
  /** Rows of each table at the start, with the keys from {@link KEYS} on. */
  readonly filled: number;
}

/** Keys of rows that come and go; hot, so that writers conflict. */
export const KEYS = 400;
/** Keys of the initial rows, after the hot ones. */
export const FILLED = 2_500;
const IDENTITIES: readonly Identity[] = [
  'key',
  'composite',
  'index',
  'full',
  'full with key',
  'deferrable',
];
const quote = pg.escapeIdentifier;

/** The schema of a seed. */
export function randomSchema(pick: Pick, seed: number, filled = FILLED): RandomSchema {
  const texts = textPool(seed);
  const names = namePool(seed, 40);
  const schemas = ['public', pick.one(names)];
  const statements = [`create schema ${quote(schemas[1] ?? '')};`];
  const tables = IDENTITIES.map((identity, number) => {
    const schema = pick.one(schemas);
    const name = `${quote(schema)}.${quote(names[number] ?? '')}`;
    // Columns may have the names of tables.
    const free = [...names].sort(() => pick.below(3) - 1);
    const { sql, table } = randomTable(pick, name, identity, free, texts);
    statements.push(sql, fill(table, texts, { from: KEYS, rows: filled, repeats: 50 }));
    return table;
  });
  statements.push(...foreignKeys(pick, tables));
  return { sql: statements.join('\n'), tables, texts, filled };
}

function randomTable(
  pick: Pick,
  name: string,
  identity: Identity,
  names: string[],
  texts: readonly string[],
): { sql: string; table: RandomTable } {
  const column = (): string => quote(names.pop() ?? 'more');
  const key = Array.from({ length: identity === 'composite' ? 2 : 1 }, () => ({
    column: column(),
    type: pick.one(KEY_TYPES),
  }));
  // Without a key, wal2json 2.5 makes a null that may be NaN ambiguous, and preflight refuses the table.
  const usable = TYPES.filter(
    (type) => !['full', 'deferrable'].includes(identity) || !type.exposed,
  );
  const columns = Array.from({ length: 1 + pick.below(7) }, () => ({
    column: column(),
    type: pick.one(usable),
  }));
  const [hole, generated, large] = [column(), column(), column()];
  const counter = pick.chance(0.5) ? { column: column(), always: pick.chance(0.5) } : null;
  const parts = [
    ...key.map((part) => `${part.column} ${part.type.name} not null${numbered(pick, part.type)}`),
    ...(counter
      ? [`${counter.column} int8 generated ${counter.always ? 'always' : 'by default'} as identity`]
      : []),
    `${hole} int`,
    ...columns.map((part) => `${part.column} ${part.type.name}`),
    `${large} text`,
    `${generated} int generated always as (coalesce(length(${large}), -1)) stored`,
  ].sort(() => pick.below(3) - 1);
  const keyList = key.map((part) => part.column).join(', ');
  if (!['full', 'index'].includes(identity)) {
    const deferrable = identity === 'deferrable' ? ' deferrable initially deferred' : '';
    parts.push(`primary key (${keyList})${deferrable}`);
  }
  const partitioned = ['key', 'composite'].includes(identity) && pick.chance(0.6);
  const { by, bounds } = partitioned ? partitions(pick, key, texts) : { by: '', bounds: [] };
  const lines = [
    `create table ${name} (${parts.join(', ')})${by};`,
    ...bounds.map(
      (bound, at) =>
        `create table ${name.slice(0, name.indexOf('."'))}.${quote(`leaf ${at} ${identity} ${[...(names.pop() ?? '')].slice(0, 4).join('')}`)} partition of ${name} ${bound};`,
    ),
    `alter table ${name} drop column ${hole};`,
    `alter table ${name} alter column ${large} set storage external;`,
  ];
  if (identity === 'index') {
    const index = quote(`index of ${names.pop()?.slice(0, 8)}`);
    lines.push(
      `create unique index ${index} on ${name} (${keyList}); alter table ${name} replica identity using index ${index};`,
    );
  }
  if (['full', 'full with key', 'deferrable'].includes(identity)) {
    lines.push(`alter table ${name} replica identity full;`);
  }
  const table = { name, identity, key, columns, large, counter, references: [] };
  return { sql: lines.join('\n'), table };
}

/** A key may be an identity column, too; values are still written explicitly. */
function numbered(pick: Pick, { name }: KeyType): string {
  return name.startsWith('int') && pick.chance(0.4) ? ' generated by default as identity' : '';
}

/** Rows of the first key column go to a few partitions, hot ones to several of them. */
function partitions(
  pick: Pick,
  key: RandomTable['key'],
  texts: readonly string[],
): { by: string; bounds: string[] } {
  const [first] = key;
  if (!first) throw new Error('no key');
  const value = (id: number): string => first.type.value(id, texts);
  switch (pick.one(['hash', 'range', 'list'])) {
    case 'hash':
      return {
        by: ` partition by hash (${key.map(({ column }) => column).join(', ')})`,
        bounds: [0, 1, 2].map((rest) => `for values with (modulus 3, remainder ${rest})`),
      };
    case 'range': {
      // Text order depends on the database: a single bound, in the middle of the values.
      const cuts = first.type.name === 'text' ? [`'m'`] : [value(KEYS / 2), value(KEYS * 3)];
      const edges = ['minvalue', ...cuts, 'maxvalue'];
      return {
        by: ` partition by range (${first.column})`,
        bounds: edges
          .slice(1)
          .map((edge, at) => `for values from (${edges[at] ?? ''}) to (${edge})`),
      };
    }
    default: {
      const some = (from: number): string =>
        Array.from({ length: KEYS / 4 }, (_, at) => value(from + at)).join(', ');
      return {
        by: ` partition by list (${first.column})`,
        bounds: [`for values in (${some(0)})`, `for values in (${some(KEYS / 4)})`, 'default'],
      };
    }
  }
}

/**
 * Columns that refer to keys, in circles too; deleting or changing a key changes the referring rows.
 */
function foreignKeys(pick: Pick, tables: readonly RandomTable[]): string[] {
  const targets = tables.filter(({ key, identity }) => {
    return key.length === 1 && ['key', 'index', 'full with key'].includes(identity);
  });
  return tables.flatMap((table, number) => {
    if (!pick.chance(0.5)) return [];
    const to = pick.one(targets);
    const [key] = to.key;
    if (!key) throw new Error('no key');
    const column = quote(`refers ${number}`);
    table.references.push({ column, to });
    const when = pick.chance(0.5) ? ' deferrable initially deferred' : '';
    return [
      `alter table ${table.name} add column ${column} ${key.type.name};`,
      `alter table ${table.name} add foreign key (${column}) references ${to.name} (${key.column})
        on update cascade on delete ${pick.one(['set null', 'set null', 'cascade'])}${when};`,
    ];
  });
}

/**
 * Rows with numbers from `from` on as one INSERT. With the usual number of rows they are several chunks of 1 MiB, so that there is a
 * copy to disturb. @param repeats of 32 bytes; above 64 the value is stored out of line.
 */
export function fill(
  { name, key, large }: RandomTable,
  texts: readonly string[],
  { from, rows, repeats }: Readonly<Record<'from' | 'rows' | 'repeats', number>>,
): string {
  const columns = [...key.map(({ column }) => column), large].join(', ');
  const values = key.map(({ type }) => type.each(texts)).join(', ');
  return `insert into ${name} (${columns}) select ${values}, repeat(md5(i::text), ${repeats})
    from generate_series(${from}, ${from + rows - 1}) i;`;
}
