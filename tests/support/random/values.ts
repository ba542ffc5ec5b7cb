/**
 * Random values as SQL, by type; texts and names come from fast-check, whose strings no one would think of.
 */
import fc from 'fast-check';
import pg from 'pg';
import type { Pick } from './pick.ts';

const POOL = 150;
const NAME_BYTES = 63;

/** PostgreSQL text contains no NUL and no half of a surrogate pair. */
function isText(value: string): boolean {
  return !value.includes('\0') && Buffer.from(value).toString() === value;
}

/** Texts of a seed. */
export function textPool(seed: number): string[] {
  const text = fc
    .oneof(fc.string({ unit: 'binary', maxLength: 12 }), fc.string({ maxLength: 40 }))
    .filter(isText);
  return [
    ...['', ' ', '\\N', '\\.', 'null', '"value":12', "it's", '{"a":1}', 'a\tb\r\nc', '\b\f\v'],
    ...fc.sample(text, { seed, numRuns: POOL }),
  ];
}

/** Names of a seed: each once, legal as an identifier. */
export function namePool(seed: number, count: number): string[] {
  const legal = (name: string): boolean =>
    name !== '' &&
    isText(name) &&
    Buffer.byteLength(name) <= NAME_BYTES &&
    !/^(ctid|oid|tableoid|[cx]m(in|ax))$/.test(name);
  const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }).filter(legal);
  const fixed = ['Mixed Case', 'dot.ted', 'quo"te', "apo'strophe", 'back\\slash', 'com,ma', '😀'];
  const names = [
    ...fixed,
    'x'.repeat(NAME_BYTES),
    'select',
    ...fc.sample(name, { seed, numRuns: 40 }),
  ];
  const distinct = [...new Set(names)];
  return distinct.slice(0, count);
}

/** A type with a generator of its values. */
export interface RandomType {
  readonly name: string;
  readonly value: (pick: Pick, texts: readonly string[]) => string;
  /**
   * Numbers that wal2json 2.5 sends as null when they are not finite: not for tables without a key.
   */
  readonly exposed?: true;
}

const literal = pg.escapeLiteral;
const words =
  (...values: readonly [string, ...string[]]) =>
  (pick: Pick): string =>
    literal(pick.one(values));

/** Types of columns. */
export const TYPES: readonly RandomType[] = [
  { name: 'int4', value: (pick) => pick.one(['0', '-2147483648', String(pick.below(1e9))]) },
  {
    name: 'int8',
    value: words('9223372036854775807', '-9223372036854775808', '9007199254740993', '7'),
  },
  {
    name: 'numeric',
    value: words('NaN', 'Infinity', '-Infinity', '1.10', '-0.000', '1e-40', `${'9'.repeat(70)}.5`),
    exposed: true,
  },
  {
    name: 'float8',
    value: words('NaN', '-Infinity', '-0', '0.1', '5e-324', '1e300'),
    exposed: true,
  },
  { name: 'float4', value: words('NaN', 'Infinity', '-0', '0.1', '1e-45'), exposed: true },
  { name: 'text', value: (pick, texts) => literal(pick.one(texts)) },
  { name: 'varchar(60)', value: (pick, texts) => literal(pick.one(texts)) },
  { name: 'bytea', value: words('\\x', '\\x00', '\\xff5c6e', '\\x0a0d09') },
  { name: 'bool', value: words('t', 'f') },
  {
    name: 'timestamptz',
    value: words('infinity', '-infinity', '0044-03-15 12:00 BC', '2024-02-29 23:59:59.999999+13'),
  },
  { name: 'date', value: words('0001-01-01 BC', '5874897-12-31', '2024-02-29', 'infinity') },
  { name: 'interval', value: words('1 year -3 days 04:05:06.7', '-1 second', '0') },
  { name: 'json', value: words('{"a" :  1.0, "a":2}', '[1.10]', 'null', '"\\u00e9"') },
  { name: 'jsonb', value: words('{"b": 1.10}', '[]', 'null', '"x"') },
  { name: 'text[]', value: words('{}', '{"a,b",null,""}', '[0:1]={x,"{y}"}', '{{a},{b}}') },
  { name: 'numeric[]', value: words('{NaN,1.10,null}', '{}') },
  { name: 'int4range', value: words('empty', '[1,5)', '(,3)') },
  { name: 'uuid', value: words('00000000-0000-0000-0000-000000000001') },
  { name: 'bit varying', value: words('', '1010') },
];

/** A type of keys: a value of a number as SQL, and the same as an expression over `i` for many at once. */
export interface KeyType {
  readonly name: string;
  readonly value: (id: number, texts: readonly string[]) => string;
  readonly each: (texts: readonly string[]) => string;
}

const FIRST_LARGE = 9_007_199_254_740_900n;

/** Types of keys. */
export const KEY_TYPES: readonly KeyType[] = [
  { name: 'int4', value: String, each: () => 'i' },
  {
    name: 'int8',
    value: (id) => String(FIRST_LARGE + BigInt(id)),
    each: () => `${FIRST_LARGE} + i`,
  },
  {
    name: 'text',
    value: (id, texts) => literal(`${texts[id % texts.length] ?? ''} ${id}`),
    each: (texts) =>
      `(array[${texts.map((text) => literal(text)).join(', ')}])[i % ${texts.length} + 1] || ' ' || i`,
  },
  {
    name: 'uuid',
    value: (id) => `'00000000-0000-0000-0000-${String(id).padStart(12, '0')}'`,
    each: () => `('00000000-0000-0000-0000-' || lpad(i::text, 12, '0'))::uuid`,
  },
];
