/** Disk space on the target. SQL shows the size of the source, but no free disk space. */
import { size } from '../wording.ts';
import { defineCheck, raising, notes } from '../check.ts';
import { bytesOf, WORTH_A_NOTE_BYTES } from '../facts/copy-size.ts';
import { relations } from '../facts/selected.ts';

const { codes, note } = raising({
  'target-disk': notes('How much disk space the target needs; SQL cannot show free disk space.'),
});

export const disk = defineCheck({
  codes,
  source: { relations },
  find: ({ source, target }) => {
    if (source === null || target === null) return [];
    const bytes = bytesOf(source.relations);
    if (bytes < WORTH_A_NOTE_BYTES) return [];
    return note(
      'target-disk',
      `the selected tables have ${size(bytes)} on the source without indexes; the target needs about that, plus indexes and WAL`,
      'Check that the target has that much free space (df on its data directory): SQL cannot show it.',
    );
  },
});
