/**
 * Compares the check constraints that the last step of a cutover added: names those that the target lacks or has in another form,
 * because it refused the statement or a table was renamed. They are in no earlier comparison.
 */
import type { Difference } from '../../contract/definition.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import type { TableName } from '../catalog/selection.ts';
import { keyOfName } from '../catalog/table-name.ts';
import { classify } from '../connection/failure.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import type { Session } from '../session/session.ts';
import { readChecks } from '../store/check-entry.ts';
import { differencesOf } from './difference.ts';
import { readFacts, type Fact } from './fact.ts';
import { PART_FACTS } from './part-fact.ts';
import { TYPE_FACTS } from './type-fact.ts';

/** Only by the constraint's name: the table or schema may have been renamed on both sides. */
const PLACES = /* sql */ `
select distinct n.nspname as schema, c.relname as name from pg_catalog.pg_constraint k join pg_catalog.pg_class c on c.oid = k.conrelid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where k.contype in ('c', 'n') and k.conname = any($1) and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'walferry')`;

const THERE = /* sql */ `
select w.schema, w.name from unnest($1::text[], $2::text[]) w (schema, name)
 where pg_catalog.to_regclass(pg_catalog.format('%I.%I', w.schema, w.name)) is not null`;

/**
 * Changes nothing.
 * @throws MigrationError `Unreachable`, `Denied`; `signal.reason` when aborted.
 */
export async function compareChecks(
  migration: Migration,
  { signal }: Partial<Pick<Work, 'signal'>> = {},
): Promise<Difference[]> {
  try {
    await using target = await connectTarget(migration, 'definition', {
      ...(signal && { signal }),
    });
    const deferred = await readChecks(target, migration, 'all');
    if (deferred.length === 0) return [];
    await using source = await connectSource(migration, 'definition', {
      ...(signal && { signal }),
    });
    const names = [...new Set(deferred.map(({ constraint }) => constraint))];
    const found = (await source.query<TableName>(PLACES, [names])).rows;
    const ours = new Set(deferred.map(keyOfName));
    const there = new Set(
      (
        await target.query<TableName>(THERE, [
          found.map(({ schema }) => schema),
          found.map(({ name }) => name),
        ])
      ).rows.map(keyOfName),
    );
    // A constraint of the same name may belong to a table that is not selected.
    const tables = found.filter((one) => ours.has(keyOfName(one)) || there.has(keyOfName(one)));
    const domains = new Set(
      deferred
        .filter(({ kind }) => kind === 'DOMAIN')
        .map(({ schema, name }) => `${schema} ${name}`),
    );
    const isMeant = ({ relation, object, what, schema, tag }: Fact): boolean =>
      relation === null
        ? domains.has(`${schema ?? ''} ${tag}`) &&
          names.some((name) => what === `constraint ${name}`)
        : what === '' && names.some((name) => object === `${relation}: constraint ${name}`);
    const read = async (session: Session): Promise<Fact[]> => {
      await session.query(`set search_path = ''`);
      const values = [tables.map(({ schema }) => schema), tables.map(({ name }) => name)];
      const parts = await Promise.all(PART_FACTS.map((sql) => readFacts(session, sql, values)));
      const types = await Promise.all(TYPE_FACTS.map((sql) => readFacts(session, sql, [])));
      return [...parts, ...types].flat().filter(isMeant);
    };
    const here = await read(source);
    const known = new Set(here.map(({ object, what }) => `${object} ${what}`));
    // One that the source no longer has is the operator's business.
    const other = (await read(target)).filter(({ object, what }) => known.has(`${object} ${what}`));
    return differencesOf({ source: here, target: other, created: () => false });
  } catch (error) {
    signal?.throwIfAborted();
    throw classify(error, { step: 'comparing check constraints' }, 'Internal');
  }
}
