/** Unlogged tables write no WAL: their rows would be copied, and every change after that be missing. */
import type { Check } from '../facts.ts';
import { error, list, nameOf, sqlName, statements } from '../wording.ts';

export const persistence: Check = ({ source }) => {
  const unlogged = (source?.relations ?? []).filter((one) => one.persistence === 'u');
  if (unlogged.length === 0) return [];
  return [
    error(
      'unlogged-table',
      `unlogged tables send no changes: ${list(unlogged.map(nameOf))}`,
      `Add them to "tables.exclude", or on the source: ${statements(unlogged.map((one) => `alter table ${sqlName(one)} set logged`))}`,
    ),
  ];
};
