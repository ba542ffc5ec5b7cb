/**
 * Every selected table needs a usable replica identity. Without one wal2json skips UPDATE and DELETE with only a warning.
 *
 * | identity        | usable when                                   | otherwise, the first that exists                    |
 * | --------------- | --------------------------------------------- | --------------------------------------------------- |
 * | default         | the primary key is immediate                  | a unique index on not-null columns; FULL            |
 * | nothing         | never                                         | default (with a primary key); index; FULL           |
 * | index           | it exists, is valid, immediate, on not-null   | default (with a primary key); index; FULL           |
 * | full            | always (see number.ts for wal2json up to 2.5) |                                                     |
 */
import type { Finding } from '../../../contract/finding.ts';
import { ignoredAmong } from '../../catalog/ignore-patterns.ts';
import type { Relation } from '../../catalog/relation.ts';
import { list, nameOf, patternsOf, sqlName, statements } from '../wording.ts';
import { defineCheck, raising, refusesOrWarns } from '../check.ts';
import { nonFiniteColumns } from '../facts/non-finite-columns.ts';
import { plugin } from '../facts/plugin.ts';
import { relations } from '../facts/selected.ts';
import type { SourceReading } from '../reading.ts';

const { codes, error, warning } = raising({
  'replica-identity': refusesOrWarns(
    'UPDATE and DELETE of a table cannot be replicated; a warning if the input accepts inserts only.',
  ),
});

export const replicaIdentity = defineCheck({
  codes,
  source: { relations, remedies: readRemedies, plugin },
  find: ({ source, input }) => {
    if (source === null) return [];
    const without = source.relations.filter(
      (one) => one.kind === 'r' && one.identity !== 'f' && one.key === null,
    );
    const ignored = ignoredAmong(source.relations, input.ignore);
    const lost = without.filter((one) => !ignored.missingIdentity(one));
    const accepted = without.filter((one) => ignored.missingIdentity(one));
    const findings = accepted.length === 0 ? [] : [insertOnly(accepted)];
    if (lost.length === 0) return findings;
    const remedies = new Map(source.remedies.map((one) => [one.oid, one]));
    const numericAsText = source.plugin.numericAsText === true;
    const commands = lost.map((one) => remedyOf(one, remedies.get(one.oid), numericAsText));
    return [
      ...findings,
      error(
        'replica-identity',
        `UPDATE and DELETE cannot be replicated for tables without a usable replica identity: ${list(lost.map((one) => `${nameOf(one)} (${reasonOf(one, remedies.get(one.oid))})`))}`,
        `On the source: ${statements(commands)} Or add a primary key, or exclude the tables. If rows are only ever inserted: "ignore": {"missingIdentity": [${patternsOf(lost)}]}.`,
      ),
    ];
  },
});

function insertOnly(tables: readonly Relation[]): Finding {
  return warning(
    'replica-identity',
    `tables without a usable replica identity are moved because "ignore" lists them: ${list(tables.map(nameOf))}; inserts are replicated, and the first UPDATE or DELETE stops the stream (StreamWarning)`,
    'No action is needed if rows are only ever inserted. Check for jobs that delete old rows.',
  );
}

function reasonOf({ identity: kind }: Relation, remedy: IdentityRemedy | undefined): string {
  if (kind === 'n') return 'replica identity nothing';
  if (kind === 'i') return 'its replica identity index is missing or unusable';
  return remedy?.deferrablePrimaryKey === true ? 'its primary key is deferrable' : 'no primary key';
}

function remedyOf(
  table: Relation,
  remedy: IdentityRemedy | undefined,
  numericAsText: boolean,
): string {
  const alter = `alter table ${sqlName(table)}`;
  if (remedy?.hasPrimaryKey === true) return `${alter} replica identity default`;
  if (remedy?.index != null) return `${alter} replica identity using index ${remedy.index}`;
  // The next preflight would refuse FULL: an old wal2json sends a NaN in such a column as null.
  if (!numericAsText && nonFiniteColumns(table).length > 0) {
    return `${alter} add column walferry_key bigint generated always as identity primary key`;
  }
  return `${alter} replica identity full`;
}

/** A table without a usable replica identity, and what the catalog offers to fix it. */
interface IdentityRemedy {
  readonly oid: number;
  readonly hasPrimaryKey: boolean;
  readonly deferrablePrimaryKey: boolean;
  /** Quoted name of a suitable unique index. */
  readonly index: string | null;
}

async function readRemedies(of: SourceReading): Promise<IdentityRemedy[]> {
  const oids = (await relations(of))
    .filter(({ kind, key }) => kind === 'r' && key === null)
    .map((r) => r.oid);
  const { rows } = await of.client.query<IdentityRemedy>(
    /* sql */ `
    select c.oid::int8::float8 as oid,
           coalesce(bool_or(i.indisprimary and i.indimmediate), false) as "hasPrimaryKey",
           coalesce(bool_or(i.indisprimary and not i.indimmediate), false) as "deferrablePrimaryKey",
           min(quote_ident(x.relname)) filter (where i.indimmediate and not i.indisprimary
             and i.indpred is null and i.indexprs is null and not exists (
               select from unnest(i.indkey::int2[]) with ordinality k (attnum, at)
                 join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
                where k.at <= i.indnkeyatts and not a.attnotnull)) as index
      from unnest($1::oid[]) as c (oid)
      left join pg_catalog.pg_index i on i.indrelid = c.oid and i.indisunique and i.indisvalid
      left join pg_catalog.pg_class x on x.oid = i.indexrelid
     group by c.oid`,
    [oids],
  );
  return rows;
}
