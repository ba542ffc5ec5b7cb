/**
 * Unlogged tables write no WAL: their rows would be copied, and every change after that be missing. Partitioned tables hold no rows,
 * whatever they are called.
 */
import { ignoredAmong } from '../../catalog/ignored.ts';
import type { Check } from '../facts.ts';
import { error, list, nameOf, patternsOf, sqlName, statements, warning } from '../wording.ts';

export const persistence: Check = ({ source, input }) => {
  const relations = source?.relations ?? [];
  const ignored = ignoredAmong(relations, input.ignore);
  const unlogged = relations.filter((one) => one.kind === 'r' && one.persistence === 'u');
  const accepted = unlogged.filter((one) => ignored.unlogged(one));
  const refused = unlogged.filter((one) => !ignored.unlogged(one));
  return [
    ...(refused.length === 0
      ? []
      : [
          error(
            'unlogged-table',
            `unlogged tables send no changes: ${list(refused.map(nameOf))}`,
            `On the source: ${statements(refused.map((one) => `alter table ${sqlName(one)} set logged`))} Or add them to "tables.exclude", or accept that they are copied once: "ignore": {"unlogged": [${patternsOf(refused)}]}.`,
          ),
        ]),
    ...(accepted.length === 0
      ? []
      : [
          warning(
            'unlogged-table',
            `unlogged tables are copied once, as the input says, and changes after that are missing on the target: ${list(accepted.map(nameOf))}`,
            'Nothing to do where their rows can be made again. One that is logged before the cutover is copied again and followed.',
          ),
        ]),
  ];
};
