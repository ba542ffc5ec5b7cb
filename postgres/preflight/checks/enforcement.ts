/** Constraints that the target will enforce but the source does not. */
import type { Check } from '../facts.ts';
import { list, nameOf, warning } from '../wording.ts';

export const enforcement: Check = ({ source }) => {
  if (source === null || source.unenforced.length === 0) return [];
  const shown = source.unenforced.map((one) => `${one.constraint} of ${nameOf(one)}`);
  return [
    warning(
      'unenforced-constraints',
      `triggers that enforce constraints are disabled on the source (alter table … disable trigger), and pg_dump does not record that: ${list(shown)}`,
      'After the cutover the target enforces these constraints and refuses changes that the source accepts. Enable the triggers on the source (alter table … enable trigger all), or disable them on the target right after the cutover; both need a superuser.',
    ),
  ];
};
