/**
 * Settings with which an operating system crash or a power failure loses or damages committed data. Positions and rows on the
 * target must agree; after such a crash they could differ, and nothing would report it.
 */
import { list, statements } from '../wording.ts';
import { defineCheck, raising, ofEachSide, onEachSide, warns } from '../check.ts';
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
  find: (facts) =>
    onEachSide(facts, (side, { notDurable }) => {
      const fix = statements([
        ...notDurable.map((name) => `alter system set ${name} = on`),
        'select pg_reload_conf()',
      ]);
      return (
        notDurable.length > 0 &&
        warning(
          `${side}-not-durable`,
          `the ${side} does not survive an operating system crash (off: ${list(notDurable)}): ${CONSEQUENCE[side]}, without an error`,
          `On the ${side}: ${fix} After such a crash, abort and restart with an empty target.`,
        )
      );
    }),
});

const CONSEQUENCE = {
  source: 'it could lose rows that the target already has',
  target: 'it could lose or damage rows that the stored position counts as applied',
};
