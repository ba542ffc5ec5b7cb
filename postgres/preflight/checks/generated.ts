/** Generated columns that the target may compute differently, because their functions read tables. */
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
      `generated columns call functions that read tables; the target computes their values as rows arrive, from what those tables hold at that moment: ${list(named)}`,
      'The cutover compares the values and is refused if they differ. Once the stream runs, recompute them on the source (update … set a column that the expression reads to itself); the target follows with all rows in place. Or drop the expression on the source (alter column … drop expression) and fill the column from a trigger.',
    ),
  ];
};
