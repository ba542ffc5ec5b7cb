/** The source writes a WAL that can be decoded. */
import type { Check } from '../facts.ts';
import { error } from '../wording.ts';

export const wal: Check = ({ source }) =>
  source === null || source.walLevel === 'logical'
    ? []
    : [
        error(
          'wal-level',
          `wal_level on the source is ${source.walLevel}, and changes can be read only with logical`,
          "On the source: alter system set wal_level = 'logical'; then restart the server.",
        ),
      ];
