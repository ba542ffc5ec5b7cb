/** A random schema: tables with every kind of identity, partitions, generated columns, holes in the attribute numbers. */
import pg from 'pg';
import type { Pick } from './pick.ts';
import { KEY_TYPES, TYPES, namePool, textPool } from './values.ts';
import type { KeyType, RandomType } from './values.ts';

/** How a table's rows are told apart on the source. */
export type Identity = 'key' | 'composite' | 'index' | 'full' | 'full with key' | 'deferrable';

export interface RandomTable {
  /** Quoted, with its schema. */
  readonly name: string;
  readonly identity: Identity;
  readonly key: readonly { readonly column: string; readonly type: KeyType }[];
  /** Columns that may be written, beside the key. */
  readonly columns: readonly { readonly column: string; readonly type: RandomType }[];
  readonly large: string;
}

export interface RandomSchema {
  readonly sql: string;
  readonly tables: readonly RandomTable[];
  readonly texts: readonly string[];
}

/** Keys of rows that come and go; hot, so that writers meet. */
export const KEYS = 400;
/** Keys of the rows that are there from the beginning, after those. */
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
export function randomSchema(pick: Pick, seed: number): RandomSchema {
  const texts = textPool(seed);
  const names = namePool(seed, 40);
  const schemas = ['public', pick.one(names)];
  const statements = [`create schema ${quote(schemas[1] ?? '')};`];
  const tables = IDENTITIES.map((identity, number) => {
    const schema = pick.one(schemas);
    const name = `${quote(schema)}.${quote(names[number] ?? '')}`;
    // Columns may have the names of tables.
    const free = [...names].sort(() => pick.below(3) - 1);
    const { sql, table } = randomTable(pick, name, identity, free);
    statements.push(sql, fill(table, texts));
    return table;
  });
  return { sql: statements.join('\n'), tables, texts };
}

function randomTable(
  pick: Pick,
  name: string,
  identity: Identity,
  names: string[],
): { sql: string; table: RandomTable } {
  const column = (): string => quote(names.pop() ?? 'more');
  const key = Array.from({ length: identity === 'composite' ? 2 : 1 }, () => ({
    column: column(),
    type: pick.one(KEY_TYPES),
  }));
  // Without a key at once a null that may be NaN is refused on wal2json 2.5; preflight says so.
  const usable = TYPES.filter(
    (type) => !['full', 'deferrable'].includes(identity) || !type.exposed,
  );
  const columns = Array.from({ length: 1 + pick.below(7) }, () => ({
    column: column(),
    type: pick.one(usable),
  }));
  const [hole, generated, large] = [column(), column(), column()];
  const parts = [
    ...key.map((part) => `${part.column} ${part.type.name} not null`),
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
  const partitioned = ['key', 'composite'].includes(identity) && pick.chance(0.5);
  const lines = [
    `create table ${name} (${parts.join(', ')})${partitioned ? ` partition by hash (${keyList})` : ''};`,
    ...(partitioned
      ? [0, 1, 2].map(
          (rest) =>
            `create table ${name.slice(0, name.indexOf('."'))}.${quote(`leaf ${rest} ${names.pop()?.slice(0, 8)}`)} partition of ${name} for values with (modulus 3, remainder ${rest});`,
        )
      : []),
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
  return { sql: lines.join('\n'), table: { name, identity, key, columns, large } };
}

/** Rows enough for several chunks of 1 MiB, so that there is a copy to disturb. */
function fill({ name, key, large }: RandomTable, texts: readonly string[]): string {
  const columns = [...key.map(({ column }) => column), large].join(', ');
  const values = key.map(({ type }) => type.each(texts)).join(', ');
  return `insert into ${name} (${columns}) select ${values}, repeat(md5(i::text), 50)
    from generate_series(${KEYS}, ${KEYS + FILLED - 1}) i;`;
}
