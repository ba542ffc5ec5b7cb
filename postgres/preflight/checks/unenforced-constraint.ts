/** Constraints that the target will enforce but the source does not. */
import { list, nameOf } from '../wording.ts';
import { defineCheck, raising, warns } from '../check.ts';
import type { TableName } from '../../catalog/selection.ts';
import { selectedOids } from '../facts/selected.ts';
import type { SourceReading } from '../reading.ts';

const { codes, warning } = raising({
  'unenforced-constraints': warns(
    'Triggers that enforce constraints are disabled on the source; the target enforces the constraints.',
  ),
});

export const unenforcedConstraint = defineCheck({
  codes,
  source: { unenforced: readUnenforced },
  find: ({ source }) => {
    if (source === null || source.unenforced.length === 0) return [];
    const shown = source.unenforced.map((one) => `${one.constraint} of ${nameOf(one)}`);
    return warning(
      'unenforced-constraints',
      `triggers that enforce constraints are disabled on the source (alter table … disable trigger), and pg_dump does not record that: ${list(shown)}`,
      'After the cutover the target enforces these constraints and refuses changes that the source accepts. Enable the triggers on the source (alter table … enable trigger all), or disable them on the target right after the cutover; both need a superuser.',
    );
  },
});

interface UnenforcedConstraint extends TableName {
  readonly constraint: string;
}

/** Of the selected tables as referencing ones; disabled triggers on either side of a foreign key count. */
async function readUnenforced(of: SourceReading): Promise<UnenforcedConstraint[]> {
  const { rows } = await of.client.query<UnenforcedConstraint>(
    /* sql */ `
    select distinct n.nspname as schema, c.relname as name, k.conname as "constraint"
      from pg_catalog.pg_trigger g
      join pg_catalog.pg_constraint k on k.oid = g.tgconstraint
      join pg_catalog.pg_class c on c.oid = k.conrelid
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where g.tgisinternal and g.tgenabled <> 'O' and k.conrelid = any($1::oid[])
     order by 1, 2, 3`,
    [await selectedOids(of)],
  );
  return rows;
}
