/** On the target the selected tables are all absent, or all there and empty. */
import type { Finding } from '../../../contract/finding.ts';
import { compareColumns, renderDifferences } from '../../catalog/drift.ts';
import { keyOfName } from '../../catalog/table-name.ts';
import { createsTables, type Check, type TargetTable } from '../facts.ts';
import type { NamedObject } from '../read/object.ts';
import { error, list, nameOf, sqlName, statements } from '../wording.ts';

export const table: Check = ({ source, target }) => {
  if (source === null || target === null) return [];
  const there = target.tables;
  const findings: Finding[] = createsTables(target) ? taken(target.taken) : [];
  const clashes = there.filter(({ kind }) => kind !== 'r' && kind !== 'p');
  if (clashes.length > 0) {
    findings.push(
      error(
        'target-clash',
        `other objects on the target have the names of tables: ${list(clashes.map(nameOf))}`,
        'Rename or drop them on the target, or exclude the tables.',
      ),
    );
  }
  const filled = there.filter(({ hasRows }) => hasRows === true);
  if (filled.length > 0) {
    findings.push(
      error(
        'target-rows',
        `tables on the target hold rows: ${list(filled.map(nameOf))}`,
        `If the rows are not needed, on the target: truncate ${filled.slice(0, 10).map(sqlName).join(', ')}; or drop all selected tables there, or exclude these.`,
      ),
    );
  }
  if (createsTables(target)) return findings;
  const given = new Set(target.given.map(keyOfName));
  const known = source.relations.filter(
    (one) => one.kind !== 'f' && one.viaRoot === null && given.has(keyOfName(one)),
  );
  const own = there.filter(({ isRoot }) => !isRoot);
  const names = new Set(own.map(nameOf));
  const absent = source.relations.filter(
    (one) => one.kind !== 'f' && one.viaRoot === null && !names.has(nameOf(one)),
  );
  // Where whole tables are missing, that also says why one is of another kind.
  const differences = compareColumns(known, target.given).filter(
    ({ column }) => column !== null || absent.length === 0,
  );
  if (differences.length > 0) {
    findings.push(
      error(
        'target-columns',
        `tables of the target cannot take the rows of the source: ${renderDifferences(differences)}`,
        'Alter them on the target, or drop all selected tables and their types there, and walferry creates them.',
      ),
    );
  }
  if (absent.length > 0) findings.push(mixed(own, absent.map(nameOf)));
  return findings;
};

/** The whole schema is created; one name that is taken stops it. */
function taken(objects: readonly NamedObject[]): Finding[] {
  if (objects.length === 0) return [];
  const shown = objects.map((one) => {
    const call = one.catalog === 'function' ? `(${one.arguments})` : '';
    return `${one.catalog} ${nameOf(one)}${call}`;
  });
  return [
    error(
      'target-clash',
      `the target has objects with the names of what is created there: ${list(shown)}`,
      'Rename or drop them on the target; views and sequences may be excluded. If an earlier migration left them, make the target database anew.',
    ),
  ];
}

function mixed(there: readonly TargetTable[], absent: readonly string[]): Finding {
  const tables = there.filter(({ kind }) => kind === 'r' || kind === 'p');
  return error(
    'target-mixed',
    `the target has some of the tables and not others: ${list(there.map(nameOf))} there, ${list(absent)} not`,
    `Drop the former (${statements(tables.map((one) => `drop table ${sqlName(one)}`))}) and what was made with them (types, functions, sequences and views, which would be refused as target-clash), or make the target database anew, and walferry creates all; or create the latter. A table that is to be partitioned in another way on the target, or not at all: name it in "tables.viaPartitionRoot".`,
  );
}
