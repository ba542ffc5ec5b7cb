/** Generated columns that the target may compute otherwise, because their functions read tables. */
import type { Check } from '../facts.ts';
import { list, nameOf, warning } from '../wording.ts';

export const generated: Check = ({ source }) => {
  if (source === null || source.generatedReads.length === 0) return [];
  const named = source.generatedReads.map((one) => {
    const reads =
      one.reads.length === 0 ? 'runs SQL of its own making' : `reads ${list(one.reads)}`;
    return `${nameOf(one)}.${one.column} (${one.function} ${reads})`;
  });
  return [
    warning(
      'generated-reads',
      `generated columns call functions that read tables, and the target computes their values when the rows arrive, from what these tables hold there at that moment: ${list(named)}`,
      'The values are compared before a cutover ends, which is refused where they differ. Let the source compute them again once the target streams (update … set a column that the expression reads to itself): the target then does the same with all rows in place. Or drop the expression on the source (alter column … drop expression) and fill the column by a trigger.',
    ),
  ];
};
