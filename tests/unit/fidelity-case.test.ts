/**
 * The fidelity suite's files: what the parser accepts, where it splits, and how it reports errors.
 */
import { describe, expect, test } from 'vitest';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { compareCatalogs } from '../support/fidelity/catalog.ts';
import { readFidelity } from '../support/fidelity/folder.ts';
import { splitStatements } from '../support/fidelity/statement.ts';
import { parseCase } from '../support/fidelity/case.ts';

const split = (text: string) => splitStatements(text, 1).map(({ sql, line }) => `${line}: ${sql}`);

describe('statements', () => {
  test.each([
    ['strings', `select 'a;''b';\nselect E'c\\';';`, [`1: select 'a;''b'`, `2: select E'c\\';'`]],
    ['quoted names', `select 1 as "a;""b";`, [`1: select 1 as "a;""b"`]],
    [
      'dollar quotes',
      `do $x$ a; $$ b; $$ $x$;\nselect $1;`,
      ['1: do $x$ a; $$ b; $$ $x$', '2: select $1'],
    ],
    ['comments', `-- a; b\n/* c; /* d; */ e; */ select 1; -- f;\n`, ['2: select 1']],
    ['parentheses', `create rule r as on insert to t do also (select 1; select 2);`, null],
    [
      'bodies of routines',
      `create function f() returns int begin atomic select case when true then 1 end; select 2; end;\nselect 3;`,
      [
        '1: create function f() returns int begin atomic select case when true then 1 end; select 2; end',
        '2: select 3',
      ],
    ],
    ['transactions', 'begin; select 1; end;', ['1: begin', '1: select 1', '1: end']],
    ['empty ones', ';;\n;', []],
  ])('are not split inside %s', (_, text, expected) => {
    expect(split(text)).toEqual(expected ?? [`1: ${text.slice(0, -1)}`]);
  });

  test.each([
    [`select 1;\nselect 'a`, /^line 2: a ' that is not closed/],
    [`do $$ a`, /^line 1: \$\$ is not closed/],
    ['/* a', /^line 1: a comment/],
    ['select 1;\n\nselect 2', /^line 3: the last statement/],
  ])('that do not end are named by their line', (text, message) => {
    expect(() => split(text)).toThrow(message);
  });
});

const FILE = `-- title: a title
-- needs: extension hstore
-- encoding: source LATIN1
-- input: {"copy": {"parallelism": 1}}
-- section: schema
create table t (id int);
-- use: more
-- section: streaming
insert into t values (1);
-- session: b
-- fails: 23505
insert into t
  values (1);
select 2;
-- await: applied
`;

describe('a case', () => {
  test('has a head, and steps in the order of the file', () => {
    const fidelityCase = parseCase('x/some_case.sql', FILE, (name) =>
      name === 'more' ? 'select 1;\nselect 2;' : undefined,
    );
    expect(fidelityCase).toMatchObject({
      name: 'some_case',
      title: 'a title',
      needs: [{ kind: 'extension', name: 'hstore' }],
      refused: null,
      encodings: { source: 'LATIN1', target: 'UTF8' },
      input: { copy: { parallelism: 1 } },
    });
    expect(fidelityCase.sections.schema).toMatchObject([
      { sql: 'create table t (id int)', line: 6 },
      { sql: 'select 1', line: 1, from: 'use/more.sql' },
      { sql: 'select 2', line: 2, from: 'use/more.sql' },
    ]);
    expect(fidelityCase.sections.streaming).toMatchObject([
      { session: 'main', line: 9, fails: null },
      { session: 'b', line: 12, fails: '23505' },
      { session: 'b', line: 14, fails: null },
      { kind: 'applied', line: 15 },
    ]);
  });

  test.each([
    ['a.sql', '-- sectoin: schema\n', /^a\.sql:1: "-- sectoin:": unknown/],
    ['a.sql', '-- title: t\n-- section: shema\n', /^a\.sql:2: section must be one of/],
    ['a.sql', '-- title: t\nselect 1;\n-- section: schema\n', /^a\.sql:2: a statement before/],
    ['a.sql', '-- section: schema\nselect 1;\n', /^a\.sql:1: there is no "-- title:"/],
    ['a.sql', '-- title: t\n', /^a\.sql:1: there is no "-- section: schema"/],
    ['a.sql', '-- title: t\n-- needs: luck\n', /^a\.sql:2: "-- needs:"/],
    [
      'a.sql',
      '-- title: t\n-- section: schema\n-- needs: extension x\n',
      /^a\.sql:3: .*belongs above/,
    ],
    [
      'a.sql',
      '-- title: t\n-- section: schema\nselect 1;\n-- fails: 23505\n',
      /no statement follows "-- fails:" of line 4/,
    ],
    ['a.sql', '-- title: t\n-- section: schema\nselect (1;\n', /^a\.sql:3: the last statement/],
    [
      'a.sql',
      '-- title: t\n-- section: schema\n-- use: gone\n',
      /^a\.sql:3: there is no file use\/gone\.sql/,
    ],
    ['A.sql', '-- title: t\n', /^A\.sql:1: the file name/],
    [
      'a.sql',
      '-- title: t\n-- expect: preflight encoding\n-- section: schema\nselect 1;\n-- section: streaming\nselect 1;\n',
      /section streaming would never run/,
    ],
  ])('that is wrong is refused with file and line (%#)', (file, text, message) => {
    expect(() => parseCase(file, text)).toThrow(message);
  });
});

test('an invalid file is named with its reason, and the other cases are read', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'walferry-fidelity-'));
  try {
    writeFileSync(path.join(folder, 'good.sql'), '-- title: t\n-- section: schema\nselect 1;\n');
    writeFileSync(path.join(folder, 'bad.sql'), "-- title: t\n-- section: schema\nselect 'a;\n");
    writeFileSync(path.join(folder, 'Worse.sql'), 'select 1;\n');
    const { cases, broken } = readFidelity(folder, 1);
    expect(cases.map(({ name }) => name)).toEqual(['good']);
    expect(broken).toMatchObject([
      { name: 'Worse', reason: expect.stringMatching(/Worse\.sql:1: the file name/) as string },
      {
        name: 'bad',
        reason: expect.stringMatching(/bad\.sql:3: a ' that is not closed/) as string,
      },
      // It is built from the shared files, which this folder does not have.
      { name: 'random_value', reason: expect.stringContaining('there is no file use/') as string },
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('differing catalogs are reported object by object', () => {
  const source = new Map([
    ['index: a', 'btree'],
    ['index: b', 'gin'],
  ]);
  const target = new Map([
    ['index: a', 'hash'],
    ['trigger: c', ''],
  ]);
  expect(compareCatalogs(source, target)).toEqual([
    'index: a: is hash instead of btree',
    'index: b: missing on the target (gin)',
    'trigger: c: only on the target',
  ]);
  expect(compareCatalogs(source, source)).toEqual([]);
});
