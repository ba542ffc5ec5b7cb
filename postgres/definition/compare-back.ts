/**
 * Compares definitions before a switch back: what the new database has and the old one lacks, because DDL was run on the live database
 * alone. The same facts as in the other direction, with the sides swapped. What the migration moves is still said by the old database
 * and the input, so that what was left out of it is no difference, and what the new database had before is none either.
 */
import type pg from 'pg';
import type { Difference } from '../../contract/definition.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import { MigrationError } from '../../contract/failure.ts';
import { inReverse, reverseOf } from '../../contract/reversed.ts';
import type { Work } from '../../contract/work.ts';
import { SYSTEM_SCHEMAS } from '../catalog/own-object.ts';
import { readRelations, readRelationsNamed } from '../catalog/read-relations.ts';
import { isViaRoot } from '../catalog/row-destination.ts';
import type { TableName } from '../catalog/selection.ts';
import { nameOf } from '../catalog/table-name.ts';
import { isVisible, type ExportedSnapshot } from '../catalog/visibility.ts';
import { classify } from '../connection/failure.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import { readNewestSnapshot } from '../store/exported-snapshot.ts';
import { hasWayBack, readNotReturned } from '../store/way-back.ts';
import { readCreatedEntries } from '../store/schema-entry.ts';
import { readBoth } from './catalog-facts.ts';
import { byObject, createdAmong, differencesOf, type Sides } from './difference.ts';
import { rowKey, type Both, type Fact } from './fact.ts';
import { foundTwice, LOCK_TIMEOUT_MS, type Sessions } from './found-twice.ts';
import { afterwards, readPending, readStates } from './pending.ts';
import { reprinted } from './reprint.ts';
import { readScope, type Scope } from './scope.ts';

const STEP = 'comparing definitions of the way back';

/** Number of the system column `tableoid`. */
const TABLEOID = -6;

/**
 * Changes nothing. What is reported was found twice.
 * @param migration in its own direction: from the old database to the new one.
 * @returns in which objects the old database differs from the new one, with the SQL for the old one.
 * @throws MigrationError `Contention`, `Unreachable`, `Denied`; `signal.reason` when aborted.
 */
export async function compareBack(
  migration: Migration,
  input: MigrationInput,
  work: Partial<Pick<Work, 'signal' | 'beat'>> = {},
): Promise<Difference[]> {
  const { signal } = work;
  const reverse = reverseOf(migration);
  try {
    const waits = signal ? { signal } : {};
    await using old = await connectTarget(reverse, 'definition', waits);
    await using fresh = await connectSource(reverse, 'definition', {
      ...waits,
      ...{ target: old, lockTimeoutMs: LOCK_TIMEOUT_MS },
    });
    if (!(await hasWayBack(old, reverse))) throw noWayBack(reverse);
    const sides = { source: fresh, target: old };
    return await foundTwice(sides, STEP, work, (report) =>
      compareOnce(sides, { migration, reverse, input }, report),
    );
  } catch (error) {
    signal?.throwIfAborted();
    throw classify(error, { step: STEP }, 'Internal');
  }
}

function noWayBack({ source, target }: Migration): MigrationError {
  return new MigrationError(
    'CheckpointMissing',
    `the database "${target}" has no record of a way back from "${source}": it has not begun, or it is over`,
    { object: 'walferry.migration' },
  );
}

interface Compared {
  readonly migration: Migration;
  readonly reverse: Migration;
  readonly input: MigrationInput;
}

/** @param sides as the way back has them: the source is the new database. */
async function compareOnce(
  sides: Sessions,
  compared: Compared,
  report: (relations: number) => void,
): Promise<Difference[]> {
  const { migration, reverse, input } = compared;
  const { source: fresh, target: old } = sides;
  const there = { source: old, target: fresh };
  const scope = await readScope(there, migration, input);
  const created = createdAmong(await readCreatedEntries(fresh, migration.id));
  const release = await readNewestSnapshot(old, reverse);
  const isSince = sinceRelease(release);
  // Before the release nothing is since, and the plan of the way back, which says what is left out, is still to come.
  const tables = release === null ? [] : await tablesSince(sides, compared, scope, isSince);
  const views = scope.whole ? await viewsSince(fresh, scope, isSince) : [];
  const whole = { ...scope, relations: [...scope.relations, ...tables, ...views] };
  // Of the migration everything is built; the grants of its last step may be still to come.
  const pending = {
    ...(await readPending(fresh, migration)),
    states: await readStates(old, reverse),
  };
  const found: Difference[] = [];
  for await (const both of readBoth(there, whole, input, created, report)) {
    const swapped = await concerned(
      fresh,
      { source: both.target, target: both.source },
      created,
      isSince,
    );
    const facts = input.fence === 'roles' ? withoutRights(swapped) : swapped;
    const { unprinted, ...printed } = await reprinted(sides, afterwards(pending, facts));
    found.push(...differencesOf({ ...printed, created, unprinted, back: true }));
  }
  found.sort(byObject);
  return found.map(({ wrong, what, ...one }) => ({
    ...{ ...one, what: inReverse(what) },
    // As in the other direction: whoever created the tables chose what they have.
    ...(wrong === true && scope.whole ? { wrong } : {}),
  }));
}

/** The fence "roles" has revoked rights on the old database, and gives them back with the switch. */
function withoutRights({ source, target }: Both): Both {
  const isOther = ({ relation, isRelation, what }: Fact): boolean =>
    !((isRelation || relation !== null) && what.startsWith('rights of '));
  return { source: source.filter(isOther), target: target.filter(isOther) };
}

type IsSince = (row: CatalogRow) => boolean;
interface CatalogRow {
  /** Transaction that wrote the row. */
  readonly xmin: string;
}

/** Which rows of the new database's catalogs were written after the release: those of the application, not those that were there. */
function sinceRelease(release: ExportedSnapshot | null): IsSince {
  return ({ xmin }) => release !== null && !isVisible(Number(xmin), release);
}

/**
 * Tables of the way back that the application has created. Those with rows stop it by themselves; an empty one would be missed only
 * after the switch back. By the row of a system column: unlike all other rows of a table, no later statement writes it.
 */
async function tablesSince(
  { source: fresh, target: old }: Sessions,
  { reverse, input }: Compared,
  { relations }: Scope,
  isSince: IsSince,
): Promise<TableName[]> {
  const known = new Set(relations.map(nameOf));
  // Of a tree that is left out, also partitions that were created since.
  const left = await readNotReturned(old, reverse);
  const { exclude } = input.tables;
  const selection = { ...input.tables, exclude: [...exclude, ...left] };
  const selected = await readRelations(fresh, selection, 'estimated');
  const { rows } = await fresh.query<CatalogRow & { readonly oid: number }>(
    /* sql */ `select a.attrelid::int8::float8 as oid, a.xmin::text as xmin from pg_catalog.pg_attribute a
                where a.attnum = ${TABLEOID} and a.attrelid = any($1::oid[])`,
    [selected.map(({ oid }) => oid)],
  );
  const since = new Set(rows.filter(isSince).map(({ oid }) => oid));
  const fitting = selected.filter(
    (one) => one.kind !== 'f' && since.has(one.oid) && !known.has(nameOf(one)),
  );
  // Of a tree that goes through its root, the old database needs the root, in any form, and no partition.
  const there = await readRelationsNamed(old, fitting.filter(isViaRoot));
  const isThere = new Set(there.map(nameOf));
  return fitting.filter(
    (one) => one.viaRoot === null || (isViaRoot(one) && !isThere.has(nameOf(one))),
  );
}

/** By the query's row: REFRESH and GRANT write the view's own row again. */
async function viewsSince(
  fresh: pg.ClientBase,
  { relations }: Scope,
  isSince: IsSince,
): Promise<TableName[]> {
  const known = new Set(relations.map(nameOf));
  const { rows } = await fresh.query<TableName & CatalogRow>(/* sql */ `
    select n.nspname as schema, c.relname as name, q.xmin::text as xmin
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      join pg_catalog.pg_rewrite q on q.ev_class = c.oid and q.rulename = '_RETURN'
     where c.relkind in ('v', 'm') and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname not in (${SYSTEM_SCHEMAS})
       and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid and d.deptype = 'e')`);
  return rows
    .filter((one) => isSince(one) && !known.has(nameOf(one)))
    .map(({ schema, name }) => ({ schema, name }));
}

/**
 * Without what only the new database has and had before the release: it was never on the old one, and the application ran there
 * without it.
 */
async function concerned(
  fresh: pg.ClientBase,
  { source, target }: Both,
  created: Sides['created'],
  isSince: IsSince,
): Promise<Both> {
  // By object: default privileges are only said as properties.
  const there = new Set(target.map(({ object }) => object));
  const alone = source.filter(
    ({ object, relation, schema, tag }) =>
      relation === null && !there.has(object) && !created(schema, tag),
  );
  if (alone.length === 0) return { source, target };
  const since = await rowsSince(fresh, alone, isSince);
  const named = new Set(alone.filter(({ row }) => since.has(row)).map(({ object }) => object));
  const others = new Set(alone.map(({ object }) => object).filter((one) => !named.has(one)));
  const isMeant = ({ object, relation }: Fact): boolean =>
    !others.has(object) && (relation === null || !others.has(relation));
  return { source: source.filter(isMeant), target };
}

/** @returns the rows ({@link Fact.row}) that were written after the release. */
async function rowsSince(
  fresh: pg.ClientBase,
  facts: readonly Fact[],
  isSince: IsSince,
): Promise<ReadonlySet<string>> {
  const byCatalog = new Map<string, string[]>();
  for (const { row } of facts) {
    const [cls = '', oid = ''] = row.split(' ');
    if (oid !== '') byCatalog.set(cls, [...(byCatalog.get(cls) ?? []), oid]);
  }
  const since = new Set<string>();
  for (const [cls, oids] of byCatalog) {
    const { rows: named } = await fresh.query<{ name: string }>(
      /* sql */ `select $1::oid::pg_catalog.regclass::text as name`,
      [cls],
    );
    const { rows } = await fresh.query<CatalogRow & { readonly oid: string }>(
      /* sql */ `select oid::text as oid, xmin::text as xmin from ${named[0]?.name ?? ''} where oid = any($1::oid[])`,
      [oids],
    );
    for (const row of rows.filter(isSince)) since.add(rowKey(cls, row.oid));
  }
  return since;
}
