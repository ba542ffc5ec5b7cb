/**
 * Compares indexes, constraints, defaults and similar objects, which may have changed since the schema was copied. They are not
 * in the stream and affect no value, so differences do not stop the cutover; but the operator should not discover a missing index
 * after it, so the cutover reports them.
 */
import type pg from 'pg';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { compareCollations } from '../catalog/collation-difference.ts';
import type { Difference } from '../catalog/column-difference.ts';
import { readRelations, readRelationsNamed } from '../catalog/read-relations.ts';
import type { TableName } from '../catalog/selection.ts';
import { classify } from '../connection/failure.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import { readClones } from '../store/disabled-clone.ts';
import { readDisabledTriggers } from '../store/disabled-trigger.ts';
import { whileWatched } from '../session/liveness.ts';
import { unloggedRows } from './unlogged-rows.ts';
import { readCheckNames } from '../store/check-entry.ts';
import { readWaitingRowSecurity } from '../store/row-security-entry.ts';
import { notOfFence } from '../catalog/own-object.ts';

interface Described {
  readonly schema: string;
  readonly table: string;
  /** Kind and name: `index t_n`, `default of column n`. */
  readonly what: string;
  /** Definition as printed under an empty search_path. */
  readonly text: string;
  /** `tgenabled` of a trigger, or the distinct states of a constraint's triggers; null for everything else. */
  readonly state: string | null;
}

/** NOT NULL constraints, which have catalog rows from PostgreSQL 18 on, are compared as a property of the column. */
const OBJECTS = /* sql */ `
with recursive t as (
  select c.oid, n.nspname as schema, c.relname as "table"
    from unnest($1::text[], $2::text[]) as wanted (schema, name)
    join pg_catalog.pg_namespace n on n.nspname = wanted.schema
    join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = wanted.name and c.relkind in ('r', 'p')
), own as (
  select t.oid as relid, t.schema, t."table", k.* from t join pg_catalog.pg_constraint k on k.conrelid = t.oid
   where k.contype <> 'n' and k.contype <> 't'
     -- Partitions' parts of a foreign key have version-dependent names. Their parent is compared.
     and not (k.contype = 'f' and k.conparentid <> 0 and exists (
           select from pg_catalog.pg_constraint p join t above on above.oid = p.conrelid where p.oid = k.conparentid))
), parts (root, oid) as (
  select oid, oid from own where contype = 'f' or condeferrable
  union all select parts.root, k.oid from parts join pg_catalog.pg_constraint k on k.conparentid = parts.oid
), enforced as (
  select parts.root, pg_catalog.string_agg(distinct g.tgenabled::text, '' order by g.tgenabled::text) as state
    from parts join pg_catalog.pg_trigger g on g.tgconstraint = parts.oid and g.tgisinternal group by 1
)
select t.schema, t."table", 'index ' || x.relname as what,
       pg_catalog.pg_get_indexdef(i.indexrelid) || case when i.indisvalid then '' else ' INVALID' end as text, null::text as state
  from t join pg_catalog.pg_index i on i.indrelid = t.oid join pg_catalog.pg_class x on x.oid = i.indexrelid
union all
select k.schema, k."table", 'constraint ' || k.conname, pg_catalog.pg_get_constraintdef(k.oid), e.state
  from own k left join enforced e on e.root = k.oid
union all
select t.schema, t."table", 'default of column ' || a.attname, pg_catalog.pg_get_expr(d.adbin, d.adrelid), null
  from t join pg_catalog.pg_attrdef d on d.adrelid = t.oid
  join pg_catalog.pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
union all
select t.schema, t."table", property.what || ' of column ' || a.attname, '', null
  from t join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
  cross join lateral (values ('NOT NULL', a.attnotnull and not exists (
           -- NOT VALID constraints are added after this check.
           select from pg_catalog.pg_constraint k
            where k.conrelid = t.oid and k.contype = 'n' and not k.convalidated and a.attnum = any(k.conkey))), ('identity (always)', a.attidentity = 'a'),
                             ('identity (by default)', a.attidentity = 'd')) as property (what, there)
 where property.there
union all
select t.schema, t."table", 'trigger ' || g.tgname, pg_catalog.pg_get_triggerdef(g.oid), g.tgenabled::text
  from t join pg_catalog.pg_trigger g on g.tgrelid = t.oid and not g.tgisinternal and ${notOfFence('g')}
union all
select t.schema, t."table", property.what, '', null from t join pg_catalog.pg_class c on c.oid = t.oid
  cross join lateral (values ('row security', c.relrowsecurity), ('forced row security', c.relforcerowsecurity)) as property (what, there)
 where property.there
union all
select t.schema, t."table", 'policy ' || p.polname,
       pg_catalog.format('%s %s to %s using (%s) with check (%s)', p.polpermissive, p.polcmd,
         (select pg_catalog.string_agg(case when r = 0 then 'public' else pg_catalog.pg_get_userbyid(r) end, ', ' order by r) from unnest(p.polroles) r),
         pg_catalog.pg_get_expr(p.polqual, p.polrelid), pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)), null
  from t join pg_catalog.pg_policy p on p.polrelid = t.oid
union all
-- Above all the increment, on which an application's id allocator may depend.
select t.schema, t."table", 'sequence of column ' || a.attname, pg_catalog.string_agg(
         pg_catalog.format('%s %s %s %s %s %s', q.seqincrement, q.seqmin, q.seqmax, q.seqstart, q.seqcache, q.seqcycle),
         ', ' order by q.seqincrement, q.seqmax, q.seqstart, q.seqcache), null
  from t join pg_catalog.pg_depend d on d.refobjid = t.oid and d.refobjsubid > 0 and d.deptype in ('a', 'i')
        and d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
  join pg_catalog.pg_sequence q on q.seqrelid = d.objid
  join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum = d.refobjsubid
 group by 1, 2, 3
union all
select t.schema, t."table", 'place under ' || i.inhparent::pg_catalog.regclass,
       coalesce(pg_catalog.pg_get_expr(c.relpartbound, c.oid), ''), null
  from t join pg_catalog.pg_inherits i on i.inhrelid = t.oid
   and not coalesce((to_jsonb(i) ->> 'inhdetachpending')::boolean, false)
  join pg_catalog.pg_class c on c.oid = t.oid`;

/** Tables whose definitions of both sides are in memory at once. */
const TABLES_AT_ONCE = 2_000;
/** Bounded because the result is stored in Temporal's history. */
const MOST = 50;

/**
 * Compares the selected tables' objects on both sides. Read-only.
 * @param work its signal cuts both sessions.
 * @returns at most {@link MOST} sentences without a full stop, and how many more there are.
 * @throws MigrationError `Unreachable`, `Denied`.
 */
export async function objectDifferences(
  migration: Migration,
  input: MigrationInput,
  { signal, beat = () => undefined }: Partial<Pick<Work, 'signal' | 'beat'>> = {},
): Promise<string[]> {
  try {
    await using source = await connectSource(migration, 'cutover', { ...(signal && { signal }) });
    await using target = await connectTarget(migration, 'cutover', { ...(signal && { signal }) });
    const progress = {
      step: 'comparing indexes, constraints and defaults',
      tables: 0,
      unlogged: 0,
    };
    return await whileWatched(
      [source, target],
      { beat },
      () => ({ ...progress }),
      async () => {
        const relations = await readRelations(source, input.tables, 'estimated');
        // The operator created the targets of trees that go through their root, with intended differences.
        const tables = relations.filter(({ kind, viaRoot }) => kind !== 'f' && viaRoot === null);
        const waiting = await readWaiting(target, migration);
        // Objects that the last step adds after this check.
        const isPending = (one: Described) =>
          waiting.checks.has(`${one.schema} ${one.what}`) || waiting.secured.has(keyOf(one));
        const found: string[] = [];
        for (let at = 0; at < tables.length; at += TABLES_AT_ONCE) {
          const some = tables.slice(at, at + TABLES_AT_ONCE);
          const [here, there] = [await describe(source, some), await describe(target, some)];
          found.push(
            ...compareObjects(
              here.filter((one) => !isPending(one)),
              there.filter((one) => !isPending(one)),
              waiting.disabledTriggers,
            ),
          );
          const counterparts = await readRelationsNamed(target, some);
          found.push(...compareCollations(some, counterparts).map(wordColumn));
          progress.tables = at + some.length;
        }
        const unlogged = await unloggedRows({ source, target }, relations, input, () => {
          progress.unlogged += 1;
        });
        // Unlogged tables first: the summary shows only a few lines.
        return bounded([...unlogged, ...found.sort()]);
      },
    );
  } catch (error) {
    throw classify(error, { step: 'comparing indexes, constraints and defaults' }, 'Internal');
  }
}

/** Objects that get their final state in the last step, after this check. */
interface Waiting {
  /** Check constraints by schema and name, because an inherited one has the name of its parent's. */
  readonly checks: ReadonlySet<string>;
  /** Row security, by {@link keyOf}. */
  readonly secured: ReadonlySet<string>;
  /** Triggers that are disabled until then, by {@link keyOf}. */
  readonly disabledTriggers: ReadonlySet<string>;
}

async function readWaiting(target: pg.ClientBase, migration: Migration): Promise<Waiting> {
  const checks = await readCheckNames(target, migration);
  const secured = await readWaitingRowSecurity(target, migration);
  const triggers = [
    ...(await readDisabledTriggers(target, migration, false)),
    ...(await readClones(target, migration)),
  ];
  return {
    checks: new Set(checks.map(({ schema, name }) => `${schema} constraint ${name}`)),
    secured: new Set(
      secured.map(({ schema, name }) => keyOf({ schema, table: name, what: 'row security' })),
    ),
    disabledTriggers: new Set(
      triggers.map(({ schema_name: schema, table_name: table, name }) =>
        keyOf({ schema, table, what: `trigger ${name}` }),
      ),
    ),
  };
}

/** Pure. @param disabledTriggers triggers whose current state is temporary. */
function compareObjects(
  source: readonly Described[],
  target: readonly Described[],
  disabledTriggers: ReadonlySet<string>,
): string[] {
  const there = new Map(target.map((one) => [keyOf(one), one]));
  const found: string[] = [];
  for (const one of source) {
    const counterpart = there.get(keyOf(one));
    const name = `${one.schema}.${one.table}: ${one.what}`;
    if (!counterpart) found.push(`${name} is on the source only`);
    else if (counterpart.text !== one.text) found.push(`${name} differs`);
    else if (counterpart.state !== one.state && !disabledTriggers.has(keyOf(one))) {
      found.push(
        `${name} is ${wordState(one.state)} on the source, ${wordState(counterpart.state)} on the target`,
      );
    }
    there.delete(keyOf(one));
  }
  for (const one of there.values()) {
    found.push(`${one.schema}.${one.table}: ${one.what} is on the target only`);
  }
  return found;
}

/** @param state several letters if the triggers of a foreign key have different states. */
function wordState(state: string | null): string {
  return STATES[state ?? 'O'] ?? 'partly disabled';
}

const STATES: Readonly<Record<string, string>> = {
  O: 'enabled',
  A: 'enabled always',
  R: 'enabled for replicas',
  D: 'disabled',
};

function wordColumn({ schema, table, column, what }: Difference): string {
  return `${schema}.${table}: column ${column ?? ''} ${what}`;
}

/** The first {@link MOST} lines, and how many more there are. */
export function bounded(lines: readonly string[]): string[] {
  if (lines.length <= MOST) return [...lines];
  return [...lines.slice(0, MOST), `and ${lines.length - MOST} more`];
}

async function describe(
  client: pg.ClientBase,
  tables: readonly TableName[],
): Promise<readonly Described[]> {
  await client.query(/* sql */ `set search_path = ''`);
  const { rows } = await client.query<Described>(OBJECTS, [
    tables.map(({ schema }) => schema),
    tables.map(({ name }) => name),
  ]);
  return rows;
}

function keyOf({ schema, table, what }: Pick<Described, 'schema' | 'table' | 'what'>): string {
  return JSON.stringify([schema, table, what]);
}
