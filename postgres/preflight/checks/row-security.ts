/** No policy hides rows: the copy would silently miss them. */
import type { TableName } from '../../catalog/selection.ts';
import { identifier, list, nameOf } from '../wording.ts';
import { defineCheck, raising, ofEachSide, refuses, type Side, type Found } from '../check.ts';
import { rowSecurity as hiddenRows } from '../facts/hidden-rows.ts';
import { tables } from '../facts/target-tables.ts';

const { codes, error } = raising(
  ofEachSide({ 'row-security': refuses('Row security hides rows from the role.') }),
);

export const rowSecurity = defineCheck({
  codes,
  source: { rowSecurity: hiddenRows },
  target: { tables },
  find: ({ source, target }) => [
    hidden('source', source?.role.name, source?.rowSecurity ?? []),
    hidden('target', target?.role.name, target?.tables.filter((one) => one.rowSecurity) ?? []),
  ],
});

function hidden(side: Side, role: string | undefined, tables: readonly TableName[]): Found {
  if (role === undefined || tables.length === 0) return [];
  return error(
    `${side}-row-security`,
    `row security hides rows from role ${role} on the ${side}: ${list(tables.map(nameOf))}`,
    `As a superuser of the ${side}: alter role ${identifier(role)} bypassrls;`,
  );
}
