/** Room on the target. SQL tells how big the source is, and nothing about a free disk. */
import type { Check } from '../facts.ts';
import { note, size } from '../wording.ts';

/** Below this nobody's disk is in danger. */
const WORTH_A_NOTE_BYTES = 1024 ** 3;

export const disk: Check = ({ source, target }) => {
  if (source === null || target === null) return [];
  const bytes = source.relations.reduce((sum, one) => sum + one.bytes, 0);
  if (bytes < WORTH_A_NOTE_BYTES) return [];
  return [
    note(
      'target-disk',
      `the selected tables are ${size(bytes)} on the source without indexes; the target needs about that, its indexes, and WAL`,
      'Look whether the target has that much free (df on its data folder): SQL cannot tell.',
    ),
  ];
};
