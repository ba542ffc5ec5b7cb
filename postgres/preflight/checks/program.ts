/** The worker's client programs can read the source. */
import type { Check } from '../facts.ts';
import { error } from '../wording.ts';

export const program: Check = ({ programs, source }) =>
  programs.flatMap(({ name, major }) => {
    if (major === null) {
      return [
        error(
          'program-missing',
          `the worker has no ${name}`,
          `Install PostgreSQL's client programs${source ? `, version ${source.major} or newer,` : ''} on every worker, or put them on its PATH.`,
        ),
      ];
    }
    if (source === null || major >= source.major) return [];
    return [
      error(
        'program-older',
        `${name} on the worker is version ${major}, and the source is ${source.version}: it refuses newer servers`,
        `Install postgresql-client-${source.major} or newer on every worker.`,
      ),
    ];
  });
