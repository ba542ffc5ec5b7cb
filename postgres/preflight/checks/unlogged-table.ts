/**
 * Unlogged tables write no WAL: on the source, changes after the copy would be missing on the target; on the target, a crash
 * would empty them.
 */
import type { TableName } from '../../catalog/selection.ts';
import { ignoredAmong } from '../../catalog/ignore-patterns.ts';
import type { Relation } from '../../catalog/relation.ts';
import { readUnlogged, requireLogged } from '../../catalog/unlogged.ts';
import { list, nameOf, patternsOf, sqlName, statements } from '../wording.ts';
import { defineCheck, raising, refuses, refusesOrWarns, type Found } from '../check.ts';
import { relations } from '../facts/selected.ts';
import { destinations } from '../facts/target-tables.ts';

const { codes, error, warning } = raising({
  'unlogged-table': refusesOrWarns(
    'Unlogged tables are selected, whose changes are not in the WAL; a warning if the input accepts a single copy.',
  ),
  'target-unlogged': refuses('Tables are unlogged on the target: a crash there would empty them.'),
});

export const unloggedTable = defineCheck({
  codes,
  source: { relations },
  target: { unlogged: async (of) => readUnlogged(of.client, await destinations(of)) },
  find: ({ source, target, input }) => {
    const relations = source?.relations ?? [];
    const { unlogged: ignored } = ignoredAmong(relations, input.ignore);
    const unlogged = relations.filter((one) => one.kind === 'r' && one.persistence === 'u');
    const accepted = unlogged.filter((one) => ignored(one));
    return [
      onSource(
        unlogged.filter((one) => !ignored(one)),
        accepted,
      ),
      onTarget(requireLogged(target?.unlogged ?? [], relations, input.ignore)),
    ];
  },
});

const setLogged = (tables: readonly TableName[]): string =>
  statements(tables.map((one) => `alter table ${sqlName(one)} set logged`));

function onSource(refused: readonly Relation[], accepted: readonly TableName[]): Found {
  return [
    refused.length > 0 &&
      error(
        'unlogged-table',
        `unlogged tables write no WAL, so their changes cannot be replicated: ${list(refused.map(nameOf))}`,
        `On the source: ${setLogged(refused)} Or add them to "tables.exclude", or accept a single copy: "ignore": {"unlogged": [${patternsOf(refused)}]}.${refused.some(({ viaRoot }) => viaRoot !== null) ? ' Partitions of a "viaPartitionRoot" root are accepted only if all of them are unlogged and "ignore" lists them all.' : ''}`,
      ),
    accepted.length > 0 &&
      warning(
        'unlogged-table',
        `unlogged tables are copied once because "ignore" lists them, and later changes are missing on the target: ${list(accepted.map(nameOf))}`,
        'No action is needed if their rows can be rebuilt. A table that is set to logged before the cutover is resynced and then replicated.',
      ),
  ];
}

function onTarget(unlogged: readonly TableName[]): Found {
  if (unlogged.length === 0) return [];
  return error(
    'target-unlogged',
    `tables are unlogged or have unlogged partitions on the target, where a crash would empty them: ${list(unlogged.map(nameOf))}`,
    `On the target: ${setLogged(unlogged)} For a partitioned table, alter its unlogged partitions.`,
  );
}
