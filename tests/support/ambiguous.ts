/**
 * A change that has to be looked up on the source: an old wal2json does not distinguish NaN from null.
 */
import { parseLsn } from '../../contract/lsn.ts';
import type { Insert, PlannedColumn } from '../../postgres/apply/change.ts';

/** Row 1 of `t (id int primary key, v numeric)`. */
export const AMBIGUOUS: Insert = {
  kind: 'insert',
  lsn: parseLsn('0/1'),
  xid: null,
  relation: {
    ...{ schema: 'public', name: 't', key: ['id'], full: false },
    columns: [column('id', 'integer'), column('v', 'numeric')],
  },
  columns: [
    { name: 'id', value: '1' },
    { name: 'v', value: null },
  ],
};

function column(name: string, typeName: string): PlannedColumn {
  const type = { typeName, baseTypeName: typeName };
  return { name, ...type, notNull: false, generated: false, identity: '' };
}
