/**
 * Settings with which an operating system crash or a power failure loses or damages committed data. Positions and rows on the
 * target must agree; after such a crash they could differ, and nothing would report it.
 */
import { list, statements } from '../wording.ts';
import { defineCheck, raising, ofEachSide, warns, type Found } from '../check.ts';
import { value } from '../reading.ts';

const { codes, warning } = raising(
  ofEachSide({
    'not-durable': warns(
      'fsync or full_page_writes is off: a crash of the operating system may lose or damage committed rows.',
    ),
  }),
);

export const durability = defineCheck({
  codes,
  both: {
    notDurable: value<string[]>(/* sql */ `
      select array(select name from pg_catalog.pg_settings
                    where name in ('fsync', 'full_page_writes') and setting = 'off' order by 1)`),
  },
  find: ({ source, target }) => {
    const findings: Found[] = [];
    for (const [side, server, what] of [
      ['source', source, 'it could lose rows that the target already has'],
      ['target', target, 'it could lose or damage rows that the stored position counts as applied'],
    ] as const) {
      if (server === null || server.notDurable.length === 0) continue;
      const fix = statements([
        ...server.notDurable.map((name) => `alter system set ${name} = on`),
        'select pg_reload_conf()',
      ]);
      findings.push(
        warning(
          `${side}-not-durable`,
          `the ${side} does not survive an operating system crash (off: ${list(server.notDurable)}): ${what}, without an error`,
          `On the ${side}: ${fix} After such a crash, abort and restart with an empty target.`,
        ),
      );
    }
    return findings;
  },
});
