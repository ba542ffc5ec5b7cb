/** Which side of a DDL a change is from, and what happened to a table between two checks. */
import { describe, expect, it } from 'vitest';
import {
  compareDefinitions,
  type TableDefinition,
  type ColumnDefinition,
} from '../../postgres/catalog/table-definition.ts';
import {
  earlierRowShape,
  shapeMismatch,
  plainRowShape,
  translate,
} from '../../postgres/drift/row-shape.ts';
import type { RowMessage } from '../../postgres/wal2json/message.ts';

function column(
  name: string,
  attnum: number,
  more: Partial<ColumnDefinition> = {},
): ColumnDefinition {
  return {
    ...{ name, attnum, typeOid: 25, typmod: -1, generated: '', version: '700', missing: null },
    ...{ varying: true, ...more },
  };
}

function definition(
  columns: readonly ColumnDefinition[],
  more: Partial<TableDefinition> = {},
): TableDefinition {
  return {
    ...{
      oid: 1,
      schema: 'public',
      name: 't',
      filenode: 1,
      columns,
      dropped: [],
      place: '',
      fingerprint: '',
    },
    ...more,
  };
}

function message(
  action: RowMessage['action'],
  columns: readonly string[],
  identity: readonly string[] = [],
): RowMessage {
  const cells = (names: readonly string[]) => names.map((name) => ({ name, value: name }));
  return {
    ...{ action, xid: 1, lsn: null, schema: 'public', table: 't' },
    ...{ columns: cells(columns), identity: cells(identity) },
  };
}

const id = column('id', 1, { varying: false, typeOid: 23 });

describe('a change has a row shape', () => {
  const rowShape = plainRowShape(definition([id, column('v', 2), column('w', 3)]));

  it.each([
    [message('I', ['id', 'v', 'w'])],
    [message('U', ['id', 'v', 'w'], ['id'])],
    [message('U', ['id', 'w'], ['id'])], // v is unchanged and TOASTed
    [message('D', [], ['id'])],
    [message('D', [], ['id', 'v', 'w'])],
  ])('when its columns are those of the shape in order: %j', (one) => {
    expect(shapeMismatch(one, rowShape)).toBeNull();
  });

  it.each([
    [message('I', ['id', 'v']), 'no longer has column "w"'],
    [message('I', ['id', 'v', 'w', 'x']), 'has the new column "x"'],
    [message('I', ['id', 'w', 'v']), 'has column "v" at another position than before'],
    [message('U', ['v', 'w'], ['id']), 'no longer has column "id"'],
    [message('U', ['id', 'w', 'v'], ['id']), 'has column "v" at another position than before'],
    [message('D', [], ['code']), 'has the new column "code"'],
  ])('and of no other: %j', (one, why) => {
    expect(shapeMismatch(one, rowShape)).toBe(why);
  });
});

describe('between two checks', () => {
  const before = definition([id, column('a', 2), column('b', 3)]);
  const opaque = (now: TableDefinition): string | null => compareDefinitions(before, now).opaque;

  it('added, dropped and renamed columns can be followed', () => {
    const now = definition([id, column('c', 3), column('d', 4, { missing: 'x' })], {
      dropped: [2],
    });
    const change = compareDefinitions(before, now);
    expect(change).toMatchObject({
      added: [{ name: 'd' }],
      dropped: [{ name: 'a' }],
      renamed: [{ from: 'b', to: 'c' }],
      opaque: null,
    });
    const rowShape = earlierRowShape(before, change);
    expect(rowShape.fills).toEqual([{ name: 'd', value: 'x' }]);
    const cells = ['id', 'a', 'b'].map((name) => ({ name, value: name }));
    expect(translate(cells, rowShape)).toEqual([
      { name: 'id', value: 'id' },
      { name: 'c', value: 'b' },
    ]);
  });

  it('a rewrite alone changes no value', () => {
    expect(opaque(definition(before.columns, { filenode: 2 }))).toBeNull();
  });

  it.each([
    ['a name that is another column’s', definition([id, column('b', 2), column('a', 3)])],
    [
      'a column dropped and added again',
      definition([id, column('a', 2), column('b', 4)], { dropped: [3] }),
    ],
    ['a column that came and went', definition(before.columns, { dropped: [4] })],
    ['another type', definition([id, column('a', 2, { typeOid: 1043 }), column('b', 3)])],
    [
      'a rewrite with a column altered',
      definition([id, column('a', 2, { version: '701' }), column('b', 3)], { filenode: 2 }),
    ],
    [
      'a rewrite that filled a column',
      definition([...before.columns, column('c', 4)], { filenode: 2 }),
    ],
    ['another table', definition(before.columns, { oid: 2 })],
  ])('%s requires a resync', (_what, now) => {
    expect(opaque(now)).not.toBeNull();
  });
});
