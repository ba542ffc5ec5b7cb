/**
 * Unlogged tables write no WAL. On the source their rows would be copied, and every change after that be missing; on the target a crash
 * would empty them.
 */
import type { Finding } from '../../../contract/finding.ts';
import type { TableName } from '../../catalog/selection.ts';
import { ignoredAmong } from '../../catalog/ignored.ts';
import type { Relation } from '../../catalog/relation.ts';
import { requireLogged } from '../../catalog/unlogged.ts';
import type { Check } from '../facts.ts';
import { error, list, nameOf, patternsOf, sqlName, statements, warning } from '../wording.ts';

export const persistence: Check = ({ source, target, input }) => {
  const relations = source?.relations ?? [];
  const { unlogged: ignored } = ignoredAmong(relations, input.ignore);
  const unlogged = relations.filter((one) => one.kind === 'r' && one.persistence === 'u');
  const accepted = unlogged.filter((one) => ignored(one));
  return [
    ...onSource(
      unlogged.filter((one) => !ignored(one)),
      accepted,
    ),
    ...onTarget(requireLogged(target?.unlogged ?? [], relations, input.ignore)),
  ];
};

const setLogged = (tables: readonly TableName[]): string =>
  statements(tables.map((one) => `alter table ${sqlName(one)} set logged`));

function onSource(refused: readonly Relation[], accepted: readonly TableName[]): Finding[] {
  return [
    ...(refused.length === 0
      ? []
      : [
          error(
            'unlogged-table',
            `unlogged tables send no changes: ${list(refused.map(nameOf))}`,
            `On the source: ${setLogged(refused)} Or add them to "tables.exclude", or accept a single copy: "ignore": {"unlogged": [${patternsOf(refused)}]}.${refused.some(({ viaRoot }) => viaRoot !== null) ? ' Partitions whose rows go through a root ("viaPartitionRoot") can only be accepted together: all of the root are unlogged, and "ignore" names all of them.' : ''}`,
          ),
        ]),
    ...(accepted.length === 0
      ? []
      : [
          warning(
            'unlogged-table',
            `unlogged tables are copied once because "ignore" lists them, and later changes are missing on the target: ${list(accepted.map(nameOf))}`,
            'Nothing to do if their rows can be rebuilt. A table that is set to logged before the cutover is copied again and then replicated.',
          ),
        ]),
  ];
}

function onTarget(unlogged: readonly TableName[]): Finding[] {
  if (unlogged.length === 0) return [];
  return [
    error(
      'target-unlogged',
      `tables are unlogged on the target, or have unlogged partitions, and a crash there would empty them: ${list(unlogged.map(nameOf))}`,
      `On the target: ${setLogged(unlogged)} For a partitioned table, alter its unlogged partitions.`,
    ),
  ];
}
