/**
 * Unlogged tables write no WAL. On the source their rows would be copied, and every change after that be missing; on the target a crash
 * would empty them.
 */
import type { Finding } from '../../../contract/finding.ts';
import type { TableName } from '../../catalog/selection.ts';
import type { Check } from '../facts.ts';
import { error, list, nameOf, sqlName, statements } from '../wording.ts';

export const persistence: Check = ({ source, target }) => [
  ...onSource((source?.relations ?? []).filter((one) => one.persistence === 'u')),
  ...onTarget(target?.unlogged ?? []),
];

const setLogged = (tables: readonly TableName[]): string =>
  statements(tables.map((one) => `alter table ${sqlName(one)} set logged`));

function onSource(unlogged: readonly TableName[]): Finding[] {
  if (unlogged.length === 0) return [];
  return [
    error(
      'unlogged-table',
      `unlogged tables send no changes: ${list(unlogged.map(nameOf))}`,
      `Add them to "tables.exclude", or on the source: ${setLogged(unlogged)}`,
    ),
  ];
}

function onTarget(unlogged: readonly TableName[]): Finding[] {
  if (unlogged.length === 0) return [];
  return [
    error(
      'target-unlogged',
      `tables are unlogged on the target, or have unlogged partitions, and a crash there would empty them: ${list(unlogged.map(nameOf))}`,
      `On the target: ${setLogged(unlogged)} (of a partitioned table, its unlogged partitions)`,
    ),
  ];
}
