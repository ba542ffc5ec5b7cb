/** Existing tables whose columns sort text differently than on the source: nothing is lost, but queries may differ. */
import { compareCollations } from '../../catalog/collation-difference.ts';
import {
  compareColumns,
  renderDifferences,
  type Difference,
} from '../../catalog/column-difference.ts';
import type { Check } from '../facts.ts';
import { warning } from '../wording.ts';

export const collation: Check = ({ source, target }) => {
  if (source === null || target === null) return [];
  const there = [...target.given, ...target.roots.map(({ relation }) => relation)];
  const keyOf = ({ schema, table, column }: Difference) => JSON.stringify([schema, table, column]);
  // Reported as target-columns.
  const refused = new Set(compareColumns(source.relations, there).map(keyOf));
  const found = compareCollations(source.relations, there).filter(
    (one) => !refused.has(keyOf(one)),
  );
  if (found.length === 0) return [];
  return [
    warning(
      'target-collation',
      `columns on the target sort text differently than on the source: ${renderDifferences(found)}`,
      'If the application relies on that order, set the collation of the source before the migration starts: on the target, alter table … alter column … type … collate …',
    ),
  ];
};
