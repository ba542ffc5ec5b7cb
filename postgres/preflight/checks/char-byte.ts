/** `"char"`: a single byte. Servers from 15 on print bytes above 127 differently from older ones. */
import { charColumns, mistakesChars } from '../../catalog/version-form.ts';
import { list, nameOf } from '../wording.ts';
import { defineCheck, raising, refuses } from '../check.ts';
import { relations } from '../facts/selected.ts';

const { codes, error } = raising({
  'char-byte': refuses(
    'Columns have type "char", and only the target is older than 15: bytes above 127 would change.',
  ),
});

export const charByte = defineCheck({
  codes,
  source: { relations },
  find: ({ source, target }) => {
    if (source === null || target === null) return [];
    if (!mistakesChars({ source: source.major, target: target.major })) return [];
    const named = source.relations
      .filter(({ kind }) => kind === 'r')
      .flatMap((one) => charColumns(one).map((column) => `${nameOf(one)}.${column}`));
    if (named.length === 0) return [];
    return error(
      'char-byte',
      `columns have type "char", and a target older than 15 reads bytes above 127 from a newer source as a backslash: ${list(named)}`,
      'Use a target of version 15 or newer, change these columns to text on the source, or exclude the tables.',
    );
  },
});
