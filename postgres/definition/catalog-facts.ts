/** Reads the facts of both sides, in pieces that are compared one after another. */
import type { MigrationInput } from '../../contract/input-schema.ts';
import { lockableObjects } from '../catalog/lock-capacity.ts';
import type { TableName } from '../catalog/selection.ts';
import { nameOf } from '../catalog/table-name.ts';
import type { Session } from '../session/session.ts';
import { COLUMN_FACTS } from './column-fact.ts';
import type { Sides as Compared } from './difference.ts';
import { readFacts, type Both, type Fact } from './fact.ts';
import { OTHER_FACTS } from './other-fact.ts';
import { PART_FACTS } from './part-fact.ts';
import { RELATION_FACTS, RELATION_GRANTS, RELATION_OWNERS } from './relation-fact.ts';
import {
  DEFAULT_PRIVILEGES,
  GRANTS,
  OBJECT_COMMENTS,
  OWNERS,
  SCHEMA_GRANTS,
} from './right-fact.ts';
import { ROUTINE_FACTS } from './routine-fact.ts';
import type { Scope } from './scope.ts';
import { TYPE_FACTS } from './type-fact.ts';

interface Sessions {
  readonly source: Session;
  readonly target: Session;
}

/** Relations whose facts of both sides are in memory at once; each may be locked while its view is printed. */
const RELATIONS_AT_ONCE = 2_000;
/** A view's definition locks what it reads. */
const LOCKS_PER_RELATION = 4;

/**
 * @param created what walferry created on the target.
 * @param report called with the number of relations compared so far.
 */
export async function* readBoth(
  sides: Sessions,
  scope: Scope,
  input: MigrationInput,
  created: Compared['created'],
  report: (relations: number) => void,
): AsyncGenerator<Both> {
  const { owners, grants } = input.schema;
  const own = [
    ...RELATION_FACTS.slice(0, scope.whole ? undefined : -1),
    ...(scope.whole && owners ? [RELATION_OWNERS] : []),
    ...(scope.whole && grants ? [RELATION_GRANTS] : []),
    ...COLUMN_FACTS,
    ...PART_FACTS,
  ];
  const both = [sides.source, sides.target];
  const size = await lockableObjects(both, LOCKS_PER_RELATION, RELATIONS_AT_ONCE);
  const relations = [
    ...scope.relations,
    ...(scope.whole ? await createdViews(sides, scope, created) : []),
  ];
  for (let at = 0; at < relations.length; at += size) {
    const some = relations.slice(at, at + size);
    const values = [some.map(({ schema }) => schema), some.map(({ name }) => name)];
    yield await read(sides, scope, own, values);
    report(at + some.length);
  }
  if (!scope.whole) return;
  const others = [
    ...OTHER_FACTS,
    ...TYPE_FACTS,
    ...ROUTINE_FACTS,
    ...OBJECT_COMMENTS,
    ...(owners ? OWNERS : []),
    ...(grants ? [...GRANTS, SCHEMA_GRANTS, DEFAULT_PRIVILEGES] : []),
  ];
  yield await read(sides, scope, others, []);
}

async function read(
  { source, target }: Sessions,
  { out, whole }: Scope,
  queries: readonly string[],
  values: readonly unknown[],
): Promise<Both> {
  const all = async (session: Session): Promise<Fact[]> => {
    const facts: Fact[] = [];
    for (const sql of queries) facts.push(...(await readFacts(session, sql, values)));
    return facts;
  };
  const [here, there] = await Promise.all([all(source), all(target)]);
  // What is left out on the source may exist on the target under the same name: it is the operator's.
  const ignored = new Set(here.filter(({ row }) => out.has(row)).map(({ object }) => object));
  const isCompared = ({ object, relation, what }: Fact) =>
    !ignored.has(object) &&
    (relation === null || !ignored.has(relation)) &&
    // On tables that the operator created, preflight has accepted the types.
    (whole || what !== 'type');
  return { source: here.filter(isCompared), target: there.filter(isCompared) };
}

/** Views that walferry created and the source no longer has. */
async function createdViews(
  { target }: Sessions,
  scope: Scope,
  created: Compared['created'],
): Promise<TableName[]> {
  const known = new Set(scope.relations.map(nameOf));
  const { rows } = await target.query<TableName>(/* sql */ `
    select n.nspname as schema, c.relname as name from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('v', 'm') and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'walferry', 'walferry_fence')
       and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid and d.deptype = 'e')`);
  return rows.filter((one) => created(one.schema, one.name) && !known.has(nameOf(one)));
}
