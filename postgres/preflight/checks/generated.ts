/** Generated columns that the target may compute differently because their functions read tables. */
import type { Check } from '../facts.ts';
import { list, nameOf, warning } from '../wording.ts';

export const generated: Check = ({ source }) => {
  if (source === null || source.generatedReads.length === 0) return [];
  const named = source.generatedReads.map((one) => {
    const reads = one.reads.length === 0 ? 'runs dynamic SQL' : `reads ${list(one.reads)}`;
    return `${nameOf(one)}.${one.column} (${one.function} ${reads})`;
  });
  return [
    warning(
      'generated-reads',
      `generated columns call functions that read tables; the target computes their values when each row arrives, from the rows that those tables hold then: ${list(named)}`,
      'The cutover compares the values and is refused if they differ. Once the stream runs, recompute them on the source (update a column that the expression reads to its own value); the target then has all rows. Or drop the expression on the source (alter column … drop expression) and fill the column with a trigger.',
    ),
  ];
};
