/** The worker has client programs that can read the source. */
import { defineCheck, raising, refuses } from '../check.ts';

const { codes, error } = raising({
  'program-missing': refuses('The worker lacks a client program.'),
  'program-older': refuses("A client program of the worker is older than the source's server."),
});

export const program = defineCheck({
  codes,
  find: ({ programs, source }) => {
    const dump = programs.find(({ name }) => name === 'pg_dump')?.major ?? null;
    return programs.flatMap(({ name, major }) => {
      if (major === null) {
        return error(
          'program-missing',
          `the worker has no ${name}`,
          `Install PostgreSQL's client programs${source ? `, version ${source.major} or newer,` : ''} on every worker, or put them on its PATH.`,
        );
      }
      // The archive format changes with major versions; pg_restore reads its own and older ones.
      if (name === 'pg_restore' && dump !== null && dump > major) {
        return error(
          'program-older',
          `pg_restore on the worker is version ${major} and cannot read archives of its pg_dump (version ${dump})`,
          `Put client programs of one version first on the PATH of every worker (${dump} or newer for both).`,
        );
      }
      if (source === null || major >= source.major) return [];
      return error(
        'program-older',
        `${name} on the worker is version ${major} and refuses newer servers, but the source is ${source.version}`,
        `Install postgresql-client-${source.major} or newer on every worker.`,
      );
    });
  },
});
