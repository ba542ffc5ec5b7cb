/** What a new session of the application gets without asking: other defaults are other results from the same rows. */
import type { Finding } from '../../../contract/finding.ts';
import type { Check } from '../facts.ts';
import { list, note, warning } from '../wording.ts';

export const sessionDefault: Check = ({ endpoints, source }) => {
  const findings: Finding[] = [];
  const from = endpoints.source?.defaults;
  const to = endpoints.target?.defaults;
  if (from && to) {
    // Compared only where both know the setting.
    const differing = [...from].filter(([name, value]) => to.has(name) && to.get(name) !== value);
    const show = ([name, value]: [string, string]) =>
      `${name} ${value || "''"} on the source, ${to.get(name) || "''"} on the target`;
    const zone = differing.find(([name]) => name === 'TimeZone');
    const others = differing.filter(([name]) => name !== 'TimeZone');
    if (zone) {
      findings.push(
        warning(
          'time-zone',
          `sessions have different time zones by default: ${show(zone)}`,
          "Moved values stay exact. Generated columns, expression indexes, materialized views and now()::date use the target's own time zone, as they do for the application. On the target: alter database … set timezone = …;",
        ),
      );
    }
    if (others.length > 0) {
      findings.push(
        warning(
          'settings-differ',
          `sessions have different defaults: ${others.map(show).join('; ')}`,
          'Moved values stay exact; what the target computes from them (generated columns, expression indexes, materialized views) follows its own defaults. Set the same defaults on the target if the application depends on them (alter database … set …, alter role … set …).',
        ),
      );
    }
  }
  const own = source?.objects.databaseSettings ?? [];
  if (own.length > 0) {
    findings.push(
      note(
        'database-settings',
        `settings of the source database (alter database … set) are not moved: ${list(own)}`,
        'psql \\drds shows them; set on the target what the application needs.',
      ),
    );
  }
  return findings;
};
