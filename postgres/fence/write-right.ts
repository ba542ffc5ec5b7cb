/**
 * The rights to write that roles have on the source's tables, and taking them away and back exactly: by the same grantors, with the
 * same grant options, on the same columns. Who needs no right keeps writing (unbound-writer.ts).
 */
import pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { inTransaction } from '../connection/in-transaction.ts';
import type { FenceGrant } from '../store/fence-grant.ts';

/** What the catalog lists, without the owner's own and ours. A table without an ACL has granted nothing to anybody. */
const RIGHTS = /* sql */ `
with acl as (
  select c.oid, c.relowner, null::name as attname, c.relacl as acl from pg_catalog.pg_class c where c.oid = any($1::oid[])
  union all
  select c.oid, c.relowner, a.attname, a.attacl from pg_catalog.pg_class c
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
   where c.oid = any($1::oid[]) and a.attacl is not null
)
select acl.oid::int8::float8 as "table", acl.attname::text as "column", from_role.rolname::text as grantor, to_role.rolname::text as grantee,
       e.privilege_type as privilege, e.is_grantable as grantable, e.grantor = acl.relowner as "byOwner",
       pg_catalog.pg_has_role(e.grantor, 'member')
         and (e.grantor = acl.relowner or not pg_catalog.pg_has_role(e.grantor, acl.relowner, 'usage')) as restorable
  from acl cross join lateral pg_catalog.aclexplode(acl.acl) e
  join pg_catalog.pg_roles from_role on from_role.oid = e.grantor
  left join pg_catalog.pg_roles to_role on to_role.oid = e.grantee
 where e.privilege_type in ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')
   and e.grantee <> acl.relowner
   and e.grantee <> (select r.oid from pg_catalog.pg_roles r where r.rolname = current_user)
 order by 1, 2 nulls first, 3, 4, 5`;

export interface WriteRight extends FenceGrant {
  readonly byOwner: boolean;
  /** Whether this role may act as the grantor, and the server would then record that grantor again. */
  readonly restorable: boolean;
}

/** The rights on these tables, in an order in which they can be granted. Pure reading. */
export async function readWriteRights(
  source: pg.ClientBase,
  oids: readonly number[],
): Promise<WriteRight[]> {
  const { rows } = await source.query<WriteRight>(RIGHTS, [oids]);
  return inGrantOrder(rows);
}

/** Whoever grants was granted the option before: the owner's grants first, then those of its grantees, and so on. Pure. */
export function inGrantOrder(rights: readonly WriteRight[]): WriteRight[] {
  const ordered = rights.filter(({ byOwner }) => byOwner);
  let waiting = rights.filter(({ byOwner }) => !byOwner);
  while (waiting.length > 0) {
    const ready = waiting.filter((one) =>
      ordered.some(
        (before) =>
          before.grantable &&
          before.grantee === one.grantor &&
          before.table === one.table &&
          before.privilege === one.privilege &&
          (before.column === null || before.column === one.column),
      ),
    );
    // Grant options that come from elsewhere (a membership): the order does not matter to them.
    const next = ready.length > 0 ? ready : waiting;
    ordered.push(...next);
    waiting = waiting.filter((one) => !next.includes(one));
  }
  return ordered;
}

/**
 * Revokes them, in one transaction. Those that are gone already are skipped: a repetition has nothing to do.
 * @throws an error of the driver; nothing has changed then.
 */
export async function revokeRights(
  source: pg.ClientBase,
  rights: readonly FenceGrant[],
): Promise<void> {
  const there = new Set(
    (
      await readWriteRights(
        source,
        rights.map(({ table }) => table),
      )
    ).map(keyOf),
  );
  // A table's REVOKE takes the columns' along, so the columns come first; and whoever was granted an option keeps it until its grants are gone.
  const going = rights.filter((one) => there.has(keyOf(one))).reverse();
  await asGrantors(source, going, (one, on) => `revoke ${on} from ${granteeOf(one)}`);
}

/**
 * Grants them back, and compares what is there with what was: exactly these, also the grantors.
 * @throws MigrationError `FenceRefused` when something is missing.
 */
export async function grantBack(
  source: pg.ClientBase,
  rights: readonly FenceGrant[],
): Promise<void> {
  await asGrantors(
    source,
    rights,
    (one, on) => `grant ${on} to ${granteeOf(one)}${one.grantable ? ' with grant option' : ''}`,
  );
  const there = await readWriteRights(source, [...new Set(rights.map(({ table }) => table))]);
  const found = new Set(there.map(keyOf));
  const names = await readNames(source, rights);
  const missing = rights.filter((one) => names.has(one.table) && !found.has(keyOf(one)));
  const [first] = missing;
  if (!first) return;
  throw new MigrationError(
    'FenceRefused',
    `${missing.length} rights could not be granted back as they were, among them ${first.privilege} on ${names.get(first.table) ?? ''} to ${granteeOf(first)} by ${first.grantor}`,
  );
}

export const keyOf = (one: FenceGrant): string =>
  JSON.stringify([one.table, one.column, one.grantor, one.grantee, one.privilege, one.grantable]);

const granteeOf = ({ grantee }: FenceGrant): string =>
  grantee === null ? 'public' : pg.escapeIdentifier(grantee);

async function asGrantors(
  source: pg.ClientBase,
  rights: readonly FenceGrant[],
  statement: (one: FenceGrant, on: string) => string,
): Promise<void> {
  if (rights.length === 0) return;
  const names = await readNames(source, rights);
  await inTransaction(source, async () => {
    let grantor: string | undefined;
    for (const one of rights) {
      const table = names.get(one.table);
      // Dropped meanwhile, and its rights with it.
      if (table === undefined) continue;
      if (one.grantor !== grantor) {
        await source.query(/* sql */ `set local role ${pg.escapeIdentifier(one.grantor)}`);
        grantor = one.grantor;
      }
      const column = one.column === null ? '' : ` (${pg.escapeIdentifier(one.column)})`;
      await source.query(statement(one, `${one.privilege}${column} on table ${table}`));
    }
  });
}

async function readNames(
  source: pg.ClientBase,
  rights: readonly FenceGrant[],
): Promise<ReadonlyMap<number, string>> {
  const { rows } = await source.query<{ oid: number; name: string }>(
    /* sql */ `
    select c.oid::int8::float8 as oid, pg_catalog.format('%I.%I', n.nspname, c.relname) as name
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.oid = any($1::oid[])`,
    [rights.map(({ table }) => table)],
  );
  return new Map(rows.map(({ oid, name }) => [oid, name]));
}
