import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MigrationError } from '../../contract/failure.ts';
import { parseLsn } from '../../contract/lsn.ts';
import { decodeMessage } from '../../postgres/wal2json/decode.ts';
import type { Cell } from '../../postgres/wal2json/message.ts';
import { pluginOptions, renderOptions } from '../../postgres/wal2json/plugin-options.ts';

test('numbers keep the digits that the source printed', () => {
  const big = '9223372036854775807';
  const long = `-${'1234567890'.repeat(100)}.${'0'.repeat(30)}10`;
  const line = `{"action":"I","xid":7,"lsn":"0/1A","schema":"public","table":"t","columns":[{"name":"a","value":${big}},{"name":"b","value":${long}},{"name":"c","value":1.5e-300},{"name":"d","value":-0}]}`;
  expect(decodeMessage(line)).toMatchObject({
    xid: 7,
    columns: [{ value: big }, { value: long }, { value: '1.5e-300' }, { value: '-0' }],
  });
});

test('null, absent, true and false are four different things', () => {
  const line =
    '{"action":"U","xid":1,"lsn":"0/1","schema":"s","table":"t","columns":[{"name":"n","value":null},{"name":"t","value":true},{"name":"f","value":false},{"name":"s","value":"null"}],"identity":[]}';
  expect(decodeMessage(line)).toMatchObject({
    columns: [
      { name: 'n', value: null },
      { name: 't', value: 't' },
      { name: 'f', value: 'f' },
      { name: 's', value: 'null' },
    ],
    identity: [],
  });
});

test('text that looks like the message itself, quotes, escapes and line ends arrive unchanged', () => {
  const texts = [
    '"value":12',
    '}],"identity":[{"name":"x","value":1}]}',
    'a\\',
    '\\"',
    'line\nend\u0001\ttab',
    'ünïcode 🐘 \u2028',
    '',
  ];
  for (const value of texts) {
    const line = `{"action":"I","xid":1,"lsn":"0/1","schema":"s","table":"t","columns":[{"name":${JSON.stringify(value)},"value":${JSON.stringify(value)}}]}`;
    expect(decodeMessage(line)).toMatchObject({ columns: [{ name: value, value }] });
  }
});

test('begin, commit, truncate and messages carry their positions', () => {
  expect(
    decodeMessage('{"action":"B","xid":5,"timestamp":"x","lsn":"0/1F","nextlsn":"0/20"}'),
  ).toEqual({ action: 'B', xid: 5, lsn: '0/1F', timestamp: 'x' });
  expect(
    decodeMessage('{"action":"C","xid":5,"timestamp":"x","lsn":"0/1F","nextlsn":"0/20"}'),
  ).toEqual({ action: 'C', xid: 5, lsn: '0/1F', nextlsn: '0/20', timestamp: 'x' });
  expect(decodeMessage('{"action":"T","xid":5,"lsn":"0/1F","schema":"a","table":"b"}')).toEqual({
    action: 'T',
    xid: 5,
    lsn: '0/1F',
    schema: 'a',
    table: 'b',
  });
  expect(
    decodeMessage(
      '{"action":"M","xid":null,"timestamp":null,"lsn":"0/2","transactional":false,"prefix":"walferry","content":"x"}',
    ),
  ).toEqual({
    action: 'M',
    xid: null,
    lsn: '0/2',
    transactional: false,
    prefix: 'walferry',
    content: 'x',
  });
});

test('an unknown message stops the stream with its position and never shows its text', () => {
  const secret = 'Zebra4711';
  const broken = [
    '',
    '{',
    '[]',
    secret,
    `{"action":"X","table":"${secret}"}`,
    `{"action":"I","xid":1,"schema":"s","table":"t"}`,
    `{"action":"D","xid":1,"schema":"s","table":"t"}`,
    `{"action":"I","xid":1,"schema":"s","table":"t","columns":[{"name":"a"}]}`,
    `{"action":"I","xid":1,"schema":"s","table":"t","columns":[{"name":"a","value":{"${secret}":1}}]}`,
    `{"action":"I","xid":1,"schema":"s","table":"t","columns":[{"name":"a","value":"${secret}\\q"}]}`,
    `{"action":"I","xid":1,"schema":"s","table":"t","columns":[{"name":"a","value":"${secret}`,
    `{"action":"I","xid":1,"schema":"s","table":"t","columns":[]} ${secret}`,
    `{"action":"B","xid":"${secret}","lsn":"0/1"}`,
    `{"action":"C","xid":1,"lsn":"0/1"}`,
    `{"action":"C","xid":1,"lsn":"${secret}","nextlsn":"0/1"}`,
  ];
  for (const line of broken) {
    let failure: unknown;
    try {
      decodeMessage(line, parseLsn('1/AB'));
    } catch (error) {
      failure = error;
    }
    expect(failure, line).toBeInstanceOf(MigrationError);
    expect(failure).toMatchObject({ code: 'StreamMalformed', details: { lsn: '1/AB' } });
    expect(String(failure)).not.toContain(secret);
  }
});

/** An independent exact implementation: quote every number that is a value, then use JSON.parse. */
function byRegex(line: string): { columns: Cell[]; identity: Cell[]; table: string } {
  const quoted = line.replace(/"value":(-?\d[\d.eE+-]*)/g, '"value":"$1"');
  const parsed = JSON.parse(quoted) as {
    table: string;
    columns: { name: string; value: unknown }[];
    identity: { name: string; value: unknown }[];
  };
  const cells = (list: { name: string; value: unknown }[]): Cell[] =>
    list.map(({ name, value }) => ({
      name,
      value: value === true ? 't' : value === false ? 'f' : (value as string | null),
    }));
  return {
    table: parsed.table,
    columns: cells(parsed.columns),
    identity: cells(parsed.identity),
  };
}

test('the scanner agrees with quoting the numbers and JSON.parse on generated messages', () => {
  // PostgreSQL text contains no NUL.
  const text = fc
    .oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: 'grapheme' }),
      fc.constantFrom(
        '"value":12',
        '\\',
        '\\\\"',
        '{"name":"a","value":1}',
        '\u0001',
        '\ud83d\udc18',
      ),
    )
    .map((one) => one.replaceAll('\u0000', ''));
  const number = fc
    .tuple(fc.bigInt(), fc.option(fc.nat()), fc.option(fc.integer({ min: -400, max: 400 })))
    .map(
      ([whole, fraction, exponent]) =>
        `${whole}${fraction === null ? '' : `.${fraction}`}${exponent === null ? '' : `e${exponent < 0 ? '' : '+'}${exponent}`}`,
    );
  const value = fc.oneof(
    text.map((t) => JSON.stringify(t)),
    number,
    fc.constantFrom('null', 'true', 'false'),
  );
  const cells = fc
    .uniqueArray(fc.tuple(text, value), { selector: ([name]) => name })
    .map((list) =>
      list.map(([name, v]) => `{"name":${JSON.stringify(name)},"value":${v}}`).join(','),
    );
  fc.assert(
    fc.property(text, cells, cells, (table, columns, identity) => {
      const line = `{"action":"U","xid":4294967295,"timestamp":"2026-01-01 00:00:00+00","lsn":"0/1","schema":"public","table":${JSON.stringify(table)},"columns":[${columns}],"identity":[${identity}]}`;
      expect(decodeMessage(line)).toMatchObject(byRegex(line));
    }),
    { numRuns: 500 },
  );
});

test('schema names reach the plugin in its own escaping, inside a quoted SQL text', () => {
  const options = pluginOptions({
    schemas: ['public', "it's, a.b *"],
    without: [{ schema: null, name: 'audit log' }],
    numericAsText: true,
  });
  expect(options['add-tables']).toBe(String.raw`public.*,it\'s\,\ a\.b\ \*.*`);
  expect(options['filter-tables']).toBe(String.raw`*.audit\ log`);
  expect(options['numeric-data-types-as-string']).toBe('on');
  expect(renderOptions({ 'add-tables': "it\\'s.*" })).toBe(String.raw`("add-tables" 'it\''s.*')`);
  expect(pluginOptions({ schemas: null, numericAsText: false })).not.toHaveProperty('add-tables');
});
