/** `"char"`: a single byte, which servers print in two ways when it is above 127. */
import { charColumns, mistakesChars } from '../../catalog/version-form.ts';
import type { Check } from '../facts.ts';
import { error, list, nameOf } from '../wording.ts';

export const charByte: Check = ({ source, target }) => {
  if (source === null || target === null) return [];
  if (!mistakesChars({ source: source.major, target: target.major })) return [];
  const named = source.relations
    .filter(({ kind }) => kind === 'r')
    .flatMap((one) => charColumns(one).map((column) => `${nameOf(one)}.${column}`));
  if (named.length === 0) return [];
  return [
    error(
      'char-byte',
      `columns hold "char", and a target older than 15 reads its bytes above 127 as a backslash when a newer source prints them: ${list(named)}`,
      'Move to 15 or newer, make these columns text on the source, or exclude the tables.',
    ),
  ];
};
