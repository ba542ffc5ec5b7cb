/** What was built after the rows, in words. */
import type { IndexCounters } from '../contract/progress.ts';
import { count, counted } from './wording.ts';

/**
 * `built 12 of 14 indexes and keys, analyzed 5 tables, 3 constraints and triggers to build`. A number that no step has
 * reported is omitted, so the text may be empty.
 */
export function builtText(counters: IndexCounters): string {
  const { indexesBuilt, indexesTotal, tablesAnalyzed, constraintsBuilt, constraintsTotal } =
    counters;
  return [
    part(indexesBuilt, indexesTotal, 'index or key', 'indexes and keys'),
    tablesAnalyzed === null ? '' : `analyzed ${counted(tablesAnalyzed, 'table')}`,
    part(constraintsBuilt, constraintsTotal, 'constraint or trigger', 'constraints and triggers'),
  ]
    .filter((text) => text !== '')
    .join(', ');
}

function part(built: number | null, total: number | null, one: string, many: string): string {
  if (total === null) return '';
  const all = `${count(total)} ${total === 1 ? one : many}`;
  return built === null ? `${all} to build` : `built ${count(built)} of ${all}`;
}
