/** Whether every table can be copied in binary format, if the input requires it. */
import type { Check } from '../facts.ts';
import { error, list, nameOf } from '../wording.ts';

export const binaryForm: Check = ({ source }) => {
  if (source === null || source.textColumns.length === 0) return [];
  const named = source.textColumns.map((one) => `${nameOf(one)}.${one.column}`);
  return [
    error(
      'binary-form',
      `"copy.format" is "binary", but these columns have types without a binary format that both servers share: ${list(named)}`,
      'Use "auto": tables with such columns are copied as text, all others in binary.',
    ),
  ];
};
