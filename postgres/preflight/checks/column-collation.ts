/** Existing tables whose columns sort text differently than on the source: nothing is lost, but queries may differ. */
import { compareCollations } from '../../catalog/collation-difference.ts';
import {
  compareColumns,
  renderDifferences,
  type Difference,
} from '../../catalog/column-difference.ts';
import { defineCheck, raising, warns } from '../check.ts';
import { relations } from '../facts/selected.ts';
import { roots } from '../facts/target-roots.ts';
import { given } from '../facts/target-tables.ts';

const { codes, warning } = raising({
  'target-collation': warns(
    'Columns of existing tables on the target have a collation that sorts text differently.',
  ),
});

export const columnCollation = defineCheck({
  codes,
  source: { relations },
  target: { given, roots },
  find: ({ source, target }) => {
    if (source === null || target === null) return [];
    const there = [...target.given, ...target.roots.map(({ relation }) => relation)];
    const keyOf = ({ schema, table, column }: Difference) =>
      JSON.stringify([schema, table, column]);
    // Reported as target-columns.
    const refused = new Set(compareColumns(source.relations, there).map(keyOf));
    const found = compareCollations(source.relations, there).filter(
      (one) => !refused.has(keyOf(one)),
    );
    if (found.length === 0) return [];
    return warning(
      'target-collation',
      `columns on the target sort text differently than on the source: ${renderDifferences(found)}`,
      'If the application relies on that order, set the collation of the source before the migration starts: on the target, alter table … alter column … type … collate …',
    );
  },
});
