/** Defaults of the application's sessions: other defaults give other results from the same rows. */
import { list } from '../wording.ts';
import { defineCheck, raising, notes, warns } from '../check.ts';
import { objects } from '../facts/source-objects.ts';

const { codes, warning, note } = raising({
  'time-zone': warns('Sessions of the two databases have different time zones.'),
  'settings-differ': warns('Sessions of the two databases have different defaults.'),
  'database-settings': notes('Settings of the source database are not moved.'),
});

export const sessionDefault = defineCheck({
  codes,
  source: { objects },
  find: ({ endpoints, source }) => {
    const from = endpoints.source?.defaults;
    const to = endpoints.target?.defaults;
    // Compared only if both servers have the setting.
    const differing =
      from && to ? [...from].filter(([name, value]) => to.has(name) && to.get(name) !== value) : [];
    const show = ([name, value]: [string, string]) =>
      `${name} ${value || "''"} on the source, ${to?.get(name) || "''"} on the target`;
    const zone = differing.find(([name]) => name === 'TimeZone');
    const others = differing.filter(([name]) => name !== 'TimeZone');
    const own = source?.objects.databaseSettings ?? [];
    return [
      zone &&
        warning(
          'time-zone',
          `sessions have different time zones by default: ${show(zone)}`,
          "Moved values stay exact, but generated columns, expression indexes, materialized views and now()::date use the target's time zone. To use the source's, on the target: alter database … set timezone = …;",
        ),
      others.length > 0 &&
        warning(
          'settings-differ',
          `sessions have different defaults: ${others.map(show).join('; ')}`,
          'Moved values stay exact, but generated columns, expression indexes and materialized views follow the defaults of the target. If the application depends on those of the source, set them there (alter database … set …, alter role … set …).',
        ),
      own.length > 0 &&
        note(
          'database-settings',
          `settings of the source database (alter database … set) are not moved: ${list(own)}`,
          'Set those that the application needs on the target (psql \\drds shows them).',
        ),
    ];
  },
});
