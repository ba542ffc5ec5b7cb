/** No policy hides rows: the copy would silently miss them. */
import type { Finding } from '../../../contract/finding.ts';
import type { Check, Side } from '../facts.ts';
import type { TableName } from '../../catalog/selection.ts';
import { error, identifier, list, nameOf } from '../wording.ts';

export const rowSecurity: Check = ({ source, target }) => [
  ...hidden('source', source?.role.name, source?.rowSecurity ?? []),
  ...hidden('target', target?.role.name, target?.tables.filter((one) => one.rowSecurity) ?? []),
];

function hidden(side: Side, role: string | undefined, tables: readonly TableName[]): Finding[] {
  if (role === undefined || tables.length === 0) return [];
  return [
    error(
      `${side}-row-security`,
      `row security hides rows from role ${role} on the ${side}: ${list(tables.map(nameOf))}`,
      `As a superuser of the ${side}: alter role ${identifier(role)} bypassrls;`,
    ),
  ];
}
