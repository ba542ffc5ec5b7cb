/** Disk space on the target. SQL shows the size of the source, but no free disk space. */
import type { Check } from '../facts.ts';
import { note, size } from '../wording.ts';

/** Less than this endangers no disk. */
const WORTH_A_NOTE_BYTES = 1024 ** 3;

export const disk: Check = ({ source, target }) => {
  if (source === null || target === null) return [];
  const bytes = source.relations.reduce((sum, one) => sum + one.bytes, 0);
  if (bytes < WORTH_A_NOTE_BYTES) return [];
  return [
    note(
      'target-disk',
      `the selected tables have ${size(bytes)} on the source without indexes; the target needs about that, plus indexes and WAL`,
      'Check that the target has that much free space (df on its data directory): SQL cannot show it.',
    ),
  ];
};
