/**
 * Rights that a fence of kind `roles` revokes or has revoked, by name, with the SQL that grants them back exactly: for whoever has to
 * do it by hand, when the control schema that lists them is gone.
 */
import pg from 'pg';
import { MOST_NAMED } from '../../contract/fence.ts';
import { MOST_TAKINGS, RIGHTS_OF, type FenceTaking } from '../../contract/fence-change.ts';
import { listed } from '../../contract/listed.ts';
import type { FenceGrant } from '../store/fence-grant.ts';

/** All statements together: they are in the workflow's history and in its result. */
const MOST_CHARACTERS = 40_000;

/** Tables of one statement. */
const MOST_TABLES = 100;

const TABLES = /* sql */ `
select c.oid::int8::float8 as oid, pg_catalog.format('%I.%I', n.nspname, c.relname) as name, r.rolname::text as owner
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  join pg_catalog.pg_roles r on r.oid = c.relowner
 where c.oid = any($1::oid[])`;

interface Table {
  readonly oid: number;
  /** For SQL. */
  readonly name: string;
  readonly owner: string;
}

/** The same rights of one role on some tables, granted by one role: one GRANT. */
interface Group {
  readonly grantee: string;
  readonly privileges: string;
  readonly tables: readonly string[];
  /** Null: the owner of the tables, for whom a superuser's GRANT counts. */
  readonly grantor: string | null;
  readonly grantable: boolean;
}

/**
 * All of them: for a terminal, where no history has to hold them.
 * @param rights in the order in which they can be granted. Those of tables that are gone are left out.
 * @returns in the order in which they have to be granted back.
 */
export async function describeAllRights(
  source: pg.ClientBase,
  rights: readonly FenceGrant[],
): Promise<FenceTaking[]> {
  if (rights.length === 0) return [];
  const oids = [...new Set(rights.map(({ table }) => table))];
  const { rows } = await source.query<Table>(TABLES, [oids]);
  return groupsOf(rights, new Map(rows.map((one) => [one.oid, one]))).map(takingOf);
}

/** The same, as many as the workflow's history and result have room for. */
export const describeRights = async (
  ...given: Parameters<typeof describeAllRights>
): Promise<FenceTaking[]> => bounded(await describeAllRights(...given));

/** Pure. Whoever passes an option on comes after whoever has granted it: by the length of the chain. */
function groupsOf(rights: readonly FenceGrant[], tables: ReadonlyMap<number, Table>): Group[] {
  const levels = levelsOf(rights);
  const one = new Map<
    string,
    { group: Omit<Group, 'tables' | 'privileges'>; items: FenceGrant[] }
  >();
  for (const right of rights) {
    const table = tables.get(right.table);
    if (!table) continue;
    const grantee = right.grantee === null ? 'public' : pg.escapeIdentifier(right.grantee);
    const grantor = right.grantor === table.owner ? null : right.grantor;
    const { grantable } = right;
    const key = JSON.stringify([levels.get(right), table.oid, grantee, grantor, grantable]);
    const found = one.get(key) ?? { group: { grantee, grantor, grantable }, items: [] };
    found.items.push(right);
    one.set(key, found);
  }
  const groups = new Map<string, { level: number; group: Group }>();
  for (const { group, items } of one.values()) {
    const [first] = items;
    const table = first && tables.get(first.table);
    if (!first || !table) continue;
    const level = levels.get(first) ?? 0;
    const privileges = items.map(privilegeOf).join(', ');
    const key = JSON.stringify([level, group, privileges]);
    const before = groups.get(key)?.group.tables ?? [];
    groups.set(key, { level, group: { ...group, privileges, tables: [...before, table.name] } });
  }
  return [...groups.values()]
    .sort((a, b) => a.level - b.level)
    .flatMap(({ group }) => inParts(group.tables).map((tables) => ({ ...group, tables })));
}

/** One statement each: that of a role with rights on thousands of tables would leave no room for any other. */
function inParts(tables: readonly string[]): string[][] {
  const count = Math.ceil(tables.length / MOST_TABLES);
  return Array.from({ length: count }, (_, at) =>
    tables.slice(at * MOST_TABLES, (at + 1) * MOST_TABLES),
  );
}

/** How many grants each needs before it. */
function levelsOf(rights: readonly FenceGrant[]): ReadonlyMap<FenceGrant, number> {
  const levels = new Map<FenceGrant, number>();
  /** Highest level of an option, by table, privilege, column and grantee. */
  const options = new Map<string, number>();
  const optionOf = ({ table, privilege }: FenceGrant, column: string | null, grantee: string) =>
    JSON.stringify([table, privilege, column, grantee]);
  for (const one of rights) {
    const from = [null, one.column].map((column) =>
      options.get(optionOf(one, column, one.grantor)),
    );
    const level = 1 + Math.max(-1, ...from.flatMap((level) => level ?? []));
    levels.set(one, level);
    if (one.grantable && one.grantee !== null)
      options.set(optionOf(one, one.column, one.grantee), level);
  }
  return levels;
}

const privilegeOf = ({ privilege, column }: FenceGrant): string =>
  column === null ? privilege : `${privilege} (${pg.escapeIdentifier(column)})`;

function takingOf({ grantee, privileges, tables, grantor, grantable }: Group): FenceTaking {
  const option = grantable ? ' with grant option' : '';
  const grant = /* sql */ `grant ${privileges} on table ${tables.join(', ')} to ${grantee}${option}`;
  // Granted in another role's name, it would be another right.
  const role = grantor === null ? null : pg.escapeIdentifier(grantor);
  return {
    what: `${RIGHTS_OF}${grantee}: ${privileges} on ${listed(tables, MOST_NAMED)}${option}${role === null ? '' : `, granted by ${role}`}`,
    undo: role === null ? grant : `set role ${role}; ${grant}; reset role`,
  };
}

/** What does not fit is counted: a list that ends without a word would be taken for all of it. */
function bounded(takings: readonly FenceTaking[]): FenceTaking[] {
  let left = MOST_CHARACTERS;
  const fitting = takings.slice(0, MOST_TAKINGS - 1).filter(({ what, undo = '' }) => {
    const size = what.length + undo.length;
    // A long one must not take the room of those after it.
    if (size > left) return false;
    left -= size;
    return true;
  });
  const more = takings.length - fitting.length;
  if (more === 0) return fitting;
  return [
    ...fitting,
    {
      what: `${more} more groups of rights, too many to name: the target has them where grants were copied`,
    },
  ];
}
