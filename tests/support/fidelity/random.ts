/**
 * A case of random values: every type gets some, handled like all other values (use/value_*.sql).
 */
import fc from 'fast-check';
import pg from 'pg';
import { parseCase, type FidelityCase } from './case.ts';

const VALUES_PER_TYPE = 15;

const whole = (least: bigint, most: bigint) => fc.bigInt({ min: least, max: most }).map(String);
const bits = (least: number, most = least) =>
  fc
    .array(fc.constantFrom('0', '1'), { minLength: least, maxLength: most })
    .map((all) => all.join(''));
const bytes = (least: number, most = least) =>
  fc
    .uint8Array({ minLength: least, maxLength: most })
    .map((all) => Buffer.from(all).toString('hex'));
/** Any text that PostgreSQL can store; with what breaks parsers more often than by chance. */
const text = (most: number) =>
  fc
    .array(
      fc.oneof(
        fc.string({ unit: 'binary', maxLength: 6 }),
        fc.constantFrom(
          '\\',
          '"',
          "'",
          '\\N',
          '\\.',
          '\t',
          '\n',
          '\r',
          '{',
          ',',
          ' ',
          '🙂',
          '$1',
          '":12,',
        ),
      ),
      { maxLength: 12 },
    )
    .map((parts) => [...parts.join('').replaceAll('\u0000', '')].slice(0, most).join(''));
const number = fc.double({ noNaN: false }).map(sqlNumber);
const radius = fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }).map(sqlNumber);
const digits = (most: number) => fc.stringMatching(new RegExp(`^[0-9]{1,${most}}$`));
const decimal = fc
  .tuple(fc.constantFrom('', '-'), digits(120), digits(120))
  .map(([sign, left, right]) => `${sign}${left}.${right}`);
const json = fc
  .tuple(fc.jsonValue({ stringUnit: 'binary', maxDepth: 4 }), fc.constantFrom(0, 1, '\t', ' \r\n '))
  .map(([value, space]) => JSON.stringify(value, null, space))
  .filter((value) => !value.includes('\\u0000'));
const point = fc.tuple(number, number).map(([x, y]) => `(${x},${y})`);
const micros = (least: bigint, most: bigint) => fc.bigInt({ min: least, max: most });
const bounds = <T>(value: fc.Arbitrary<T>, sorted: (a: T, b: T) => boolean) =>
  fc
    .tuple(fc.constantFrom('[', '('), value, value, fc.constantFrom(']', ')'))
    .map(([open, a, b, close]) => {
      const [low, high] = sorted(a, b) ? [a, b] : [b, a];
      return `${open}${String(low)},${String(high)}${close}`;
    });
const word = text(12).map((value) => `'${value.replaceAll("'", "''").replaceAll('\\', '\\\\')} w'`);

/** Values as the type reads them; a second name is for a type that cannot be a table's name. */
const TYPES: Readonly<Record<string, readonly [type: string, values: fc.Arbitrary<string>]>> = {
  int2: ['smallint', whole(-(2n ** 15n), 2n ** 15n - 1n)],
  int4: ['integer', whole(-(2n ** 31n), 2n ** 31n - 1n)],
  int8: ['bigint', whole(-(2n ** 63n), 2n ** 63n - 1n)],
  oid: ['oid', whole(0n, 2n ** 32n - 1n)],
  numeric: ['numeric', fc.oneof(decimal, fc.constantFrom('NaN', 'Infinity', '-Infinity'))],
  scaled: ['numeric(30, 7)', fc.tuple(digits(22), digits(9)).map(([a, b]) => `-${a}.${b}`)],
  float4: ['real', fc.float().map(sqlNumber)],
  float8: ['double precision', number],
  money: ['money', whole(-(2n ** 62n), 2n ** 62n).map((n) => `${n.slice(0, -2) || '0'}.07`)],
  bool: ['boolean', fc.constantFrom('t', 'f')],
  text: ['text', text(200)],
  varchar: ['varchar(20)', text(20)],
  char: ['char(5)', text(5)],
  name: ['name', text(15)],
  bytea: ['bytea', bytes(0, 300).map((hex) => `\\x${hex}`)],
  bit: ['bit(11)', bits(11)],
  varbit: ['bit varying', bits(0, 100)],
  // Microseconds and days from 2000-01-01; the limits are those of the types.
  date: ['date', whole(-2451545n, 2145031948n).map((days) => `J${BigInt(days) + 2451545n}`)],
  time: ['time', micros(0n, 86_400_000_000n).map(clock)],
  timetz: [
    'timetz',
    fc
      .tuple(micros(0n, 86_400_000_000n), fc.integer({ min: -57_599, max: 57_599 }))
      .map(([time, zone]) => clock(time) + offset(zone)),
  ],
  timestamp: [
    'timestamp',
    fc.tuple(whole(1n, 5373484n + 100_000_000n), micros(0n, 86_399_999_999n)).map(julian),
  ],
  timestamptz: [
    'timestamptz',
    fc.tuple(whole(2n, 5373484n + 100_000_000n), micros(0n, 86_399_999_999n)).map(julian),
  ],
  interval: [
    'interval',
    fc
      .tuple(
        fc.integer({ min: -2_000_000_000, max: 2_000_000_000 }),
        fc.integer({ min: -2_000_000_000, max: 2_000_000_000 }),
        fc.bigInt({ min: -(2n ** 60n), max: 2n ** 60n }),
      )
      .map(([months, days, time]) => `${months} mons ${days} days ${time} microseconds`),
  ],
  uuid: ['uuid', bytes(16)],
  inet4: [
    'inet',
    fc.tuple(fc.ipV4(), fc.integer({ min: 0, max: 32 })).map(([ip, n]) => `${ip}/${n}`),
  ],
  inet6: [
    'inet',
    fc
      .tuple(bytes(16), fc.integer({ min: 0, max: 128 }))
      .map(([hex, n]) => `${hex.match(/.{4}/g)?.join(':')}/${n}`),
  ],
  macaddr: ['macaddr', bytes(6)],
  macaddr8: ['macaddr8', bytes(8)],
  json: ['json', json],
  jsonb: ['jsonb', json],
  point: ['point', point],
  lseg: ['lseg', fc.tuple(point, point).map(([a, b]) => `[${a},${b}]`)],
  box: ['box', fc.tuple(point, point).map(([a, b]) => `${a},${b}`)],
  path: [
    'path',
    fc.array(point, { minLength: 1, maxLength: 5 }).map((all) => `[${all.join(',')}]`),
  ],
  polygon: [
    'polygon',
    fc.array(point, { minLength: 1, maxLength: 5 }).map((all) => `(${all.join(',')})`),
  ],
  circle: ['circle', fc.tuple(point, radius).map(([at, r]) => `<${at},${r}>`)],
  int8range: [
    'int8range',
    bounds(fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }), (a, b) => a <= b),
  ],
  numrange: [
    'numrange',
    bounds(fc.integer(), (a, b) => a <= b).map((range) => range.replace(',', '.00,')),
  ],
  tsvector: [
    'tsvector',
    fc
      .array(
        fc.tuple(word, fc.integer({ min: 1, max: 16383 }), fc.constantFrom('', 'A', 'B', 'C')),
        { maxLength: 6 },
      )
      .map((all) => all.map(([w, n, weight]) => `${w}:${n}${weight}`).join(' ')),
  ],
  tsquery: [
    'tsquery',
    fc.array(word, { minLength: 1, maxLength: 4 }).map((all) => all.join(' & !')),
  ],
  pg_lsn: ['pg_lsn', fc.tuple(bytes(4), bytes(4)).map(([a, b]) => `${a}/${b}`)],
  xid8: ['xid8', whole(0n, 2n ** 64n - 1n)],
  mood: ['mood', fc.constantFrom('fine', "it's", '"so" so', 'a,b{c}', '')],
  words: [
    'text[]',
    fc
      .array(text(20), { maxLength: 6 })
      .map((all) => `{${all.map((one) => `"${one.replace(/["\\]/g, '\\$&')}"`).join(',')}}`),
  ],
};

/**
 * The case of this seed: the same seed gives the same values.
 * @param shared see {@link parseCase}.
 */
export function randomCase(
  seed: number,
  shared: (name: string) => string | undefined,
): FidelityCase {
  const tables = Object.entries(TYPES).map(([name, [type, values]]) => {
    const rows = fc
      .sample(values, { numRuns: VALUES_PER_TYPE, seed })
      .map((value, index) => `(${index + 1}, ${pg.escapeLiteral(value)})`);
    return `create table ${name}_value (id int primary key, v ${type});
insert into ${name}_value values ${rows.join(',\n')};`;
  });
  const text = `-- title: random values of every type (seed ${seed})
-- section: schema
create type mood as enum ('fine', 'it''s', '"so" so', 'a,b{c}', '');
${tables.join('\n')}
-- use: value_tables
-- section: copying
-- use: value_copying
-- section: streaming
-- use: value_streaming
-- await: applied
-- use: value_many
`;
  return parseCase('random_value.sql', text, shared);
}

function sqlNumber(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value);
}

/** 24:00:00 included. */
function clock(time: bigint): string {
  const seconds = time / 1_000_000n;
  const two = (n: bigint) => String(n).padStart(2, '0');
  const rest = String(time % 1_000_000n).padStart(6, '0');
  return `${two(seconds / 3600n)}:${two((seconds / 60n) % 60n)}:${two(seconds % 60n)}.${rest}`;
}

function offset(seconds: number): string {
  const all = Math.abs(seconds);
  const two = (n: number) => String(Math.floor(n)).padStart(2, '0');
  return `${seconds < 0 ? '-' : '+'}${two(all / 3600)}:${two((all / 60) % 60)}:${two(all % 60)}`;
}

function julian([day, time]: [string, bigint]): string {
  return `J${day} ${clock(time)}`;
}
