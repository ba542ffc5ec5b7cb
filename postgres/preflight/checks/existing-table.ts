/** On the target the selected tables are all missing, or all exist and are empty. */
import type { Finding } from '../../../contract/finding.ts';
import { compareColumns, renderDifferences } from '../../catalog/column-difference.ts';
import type { Relation } from '../../catalog/relation.ts';
import { keyOfName } from '../../catalog/table-name.ts';
import { list, nameOf, sqlName, statements } from '../wording.ts';
import { defineCheck, raising, refuses, type Found } from '../check.ts';
import { relations } from '../facts/selected.ts';
import { CLASH, created, taken, type NamedObject } from '../facts/taken-name.ts';
import { createsTables, given, tables, type TargetTable } from '../facts/target-tables.ts';
import { describeMixed } from '../../schema/existing.ts';

const { codes, error } = raising({
  ...CLASH,
  'target-rows': refuses('Selected tables on the target hold rows.'),
  'target-columns': refuses('An existing table on the target cannot take the rows of the source.'),
  'target-mixed': refuses('The target has some of the selected tables but not all.'),
});

export const existingTable = defineCheck({
  codes,
  source: { relations, created },
  target: { tables, given, taken },
  find: ({ source, target }) => {
    if (source === null || target === null) return [];
    const there = target.tables;
    const clashes = there.filter(({ kind }) => kind !== 'r' && kind !== 'p');
    const filled = there.filter(({ hasRows }) => hasRows === true);
    return [
      createsTables(target) && clashing(target.taken),
      clashes.length > 0 &&
        error(
          'target-clash',
          `other objects on the target have the names of selected tables: ${list(clashes.map(nameOf))}`,
          'Rename or drop them on the target, or exclude the tables.',
        ),
      filled.length > 0 &&
        error(
          'target-rows',
          `tables on the target hold rows: ${list(filled.map(nameOf))}`,
          `If the rows are not needed, on the target: truncate ${filled.slice(0, 10).map(sqlName).join(', ')}; or drop all selected tables there, or exclude these tables.`,
        ),
      !createsTables(target) && givenTables(source.relations, target),
    ];
  },
});

interface Given {
  readonly tables: readonly TargetTable[];
  readonly given: readonly Relation[];
}

/** Tables that the operator created: all of them, and with the columns of the source. */
function givenTables(
  relations: readonly Relation[],
  { tables: there, given: columns }: Given,
): Found {
  const known = new Set(columns.map(keyOfName));
  const own = there.filter(({ isRoot }) => !isRoot);
  const names = new Set(own.map(nameOf));
  const wanted = relations.filter((one) => one.kind !== 'f' && one.viaRoot === null);
  const absent = wanted.filter((one) => !names.has(nameOf(one)));
  // If whole tables are missing, that finding also covers tables of another kind.
  const differences = compareColumns(
    wanted.filter((one) => known.has(keyOfName(one))),
    columns,
  ).filter(({ column }) => column !== null || absent.length === 0);
  return [
    differences.length > 0 &&
      error(
        'target-columns',
        `tables on the target cannot take the rows of the source: ${renderDifferences(differences)}`,
        'Alter them on the target, or drop all selected tables and their types there, so that walferry creates them.',
      ),
    absent.length > 0 && mixed(own, absent),
  ];
}

/** walferry creates the whole schema; one name in use stops it. */
function clashing(objects: readonly NamedObject[]): Found {
  if (objects.length === 0) return [];
  const shown = objects.map((one) => {
    const call = one.catalog === 'function' ? `(${one.arguments})` : '';
    return `${one.catalog} ${nameOf(one)}${call}`;
  });
  return error(
    'target-clash',
    `objects on the target have the same names as objects to be created: ${list(shown)}`,
    'Rename or drop them on the target; views and sequences may be excluded. If an earlier migration left them, recreate the target database.',
  );
}

function mixed(there: readonly TargetTable[], absent: readonly Relation[]): Finding {
  const tables = there.filter(({ kind }) => kind === 'r' || kind === 'p');
  return error(
    'target-mixed',
    describeMixed(there, absent),
    `Drop the existing ones (${statements(tables.map((one) => `drop table ${sqlName(one)}`))}) and their types, functions, sequences and views, or recreate the target database: walferry then creates all tables. Or create the missing ones. To give a table other partitions or none on the target, list it in "tables.viaPartitionRoot".`,
  );
}
