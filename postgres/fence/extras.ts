/**
 * What a fence takes in addition, on request: a read-only default, CONNECT, a connection limit. None of it binds an open session, so
 * the proof needs none of it; it keeps new sessions away. The previous values are on the target before the first change, and are
 * returned for the workflow to keep; giving back writes exactly those.
 */
import pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { DatabaseExtras, FenceSetting } from '../../contract/fence.ts';
import type { Migration } from '../../contract/migration.ts';
import { inTransaction } from '../connection/in-transaction.ts';
import { classify } from '../connection/failure.ts';
import { connectTarget } from '../session/open.ts';
import {
  forgetFenceSetting,
  readFenceSettings,
  storeFenceSetting,
} from '../store/fence-setting.ts';
import { hasStore } from '../store/upgrade.ts';

interface Database {
  /** For SQL. */
  readonly name: string;
  /** Value of default_transaction_read_only set for the database and all roles; null: none. */
  readonly readOnly: string | null;
  /** `datacl` as text; null: the built-in default. */
  readonly acl: string | null;
  readonly limit: number;
  readonly superuser: boolean;
  /** Whether this role may alter the database. */
  readonly owner: boolean;
  /** Whether every CONNECT comes from the database's owner. */
  readonly plainAcl: boolean;
}

const DATABASE = /* sql */ `
select pg_catalog.quote_ident(d.datname) as name, d.datacl::text as acl, d.datconnlimit as limit,
       (select pg_catalog.split_part(one, '=', 2) from pg_catalog.pg_db_role_setting s, unnest(s.setconfig) one
         where s.setdatabase = d.oid and s.setrole = 0 and one like 'default\\_transaction\\_read\\_only=%') as "readOnly",
       (select r.rolsuper from pg_catalog.pg_roles r where r.rolname = current_user) as superuser,
       pg_catalog.pg_has_role(d.datdba, 'usage') as owner,
       not exists (select from pg_catalog.aclexplode(d.datacl) e where e.privilege_type = 'CONNECT' and e.grantor <> d.datdba) as "plainAcl"
  from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()`;

/**
 * Takes what is asked for, after it has stored what it will give back. Idempotent.
 * @returns the previous values.
 * @throws MigrationError `FenceRefused` for what could not be restored exactly, before anything is changed; `Denied`.
 */
export async function takeExtras(
  source: pg.ClientBase,
  migration: Migration,
  extras: DatabaseExtras,
): Promise<readonly FenceSetting[]> {
  try {
    const database = await readDatabase(source);
    refuseExtras(database, extras, migration);
    await using target = await connectTarget(migration, 'cutover');
    const previous = await inTransaction(target, async () => {
      for (const one of previousOf(database, extras))
        await storeFenceSetting(target, migration, one);
      return readFenceSettings(target, migration);
    });
    for (const { what } of previousOf(database, extras)) await source.query(taking(what, database));
    return previous;
  } catch (error) {
    throw classify(
      error,
      { step: 'taking the extras of the fence', side: 'source' },
      'FenceRefused',
    );
  }
}

/**
 * What would be stored before the first change; for the workflow to keep, for whoever has to restore it by hand. Changes nothing.
 * @throws MigrationError `FenceRefused` for what could not be restored exactly.
 */
export async function previousValues(
  source: pg.ClientBase,
  migration: Migration,
  extras: DatabaseExtras,
): Promise<readonly FenceSetting[]> {
  const database = await readDatabase(source);
  refuseExtras(database, extras, migration);
  return previousOf(database, extras);
}

/** Why this role could not take them and give them back exactly; empty: it can. Changes nothing. */
export async function missingForExtras(
  source: pg.ClientBase,
  extras: DatabaseExtras,
): Promise<string[]> {
  return unrestorable(await readDatabase(source), extras);
}

/** Gives back what is stored on the target. Idempotent; does nothing where nothing is stored.
 * @throws MigrationError `FenceRefused` naming what could not be restored; `Denied`.
 */
export async function giveBackExtras(source: pg.ClientBase, migration: Migration): Promise<void> {
  try {
    await using target = await connectTarget(migration, 'cutover', { unregistered: 'any more' });
    if (await hasStore(target)) await giveBackStored(source, target, migration);
  } catch (error) {
    throw classify(
      error,
      { step: 'giving back the extras of the fence', side: 'source' },
      'FenceRefused',
    );
  }
}

/**
 * Gives back what an attempt has taken after others had given back what was stored: it may be stored no more.
 * @param taken as {@link takeExtras} returned it.
 * @throws as {@link giveBackExtras}.
 */
export async function giveBackTaken(
  source: pg.ClientBase,
  migration: Migration,
  taken: readonly FenceSetting[],
): Promise<void> {
  try {
    for (const one of taken) await giveBack(source, one);
  } catch (error) {
    throw classify(
      error,
      { step: 'giving back the extras of the fence', side: 'source' },
      'FenceRefused',
    );
  }
  await giveBackExtras(source, migration);
}

/** The same on a session of the target. @returns what was given back. @throws an error of the driver. */
export async function giveBackStored(
  source: pg.ClientBase,
  target: pg.ClientBase,
  migration: Pick<Migration, 'id'>,
): Promise<string[]> {
  const stored = await readFenceSettings(target, migration);
  for (const one of stored) {
    await giveBack(source, one);
    await forgetFenceSetting(target, migration, one.what);
  }
  return stored.map(({ what }) => what);
}

async function readDatabase(source: pg.ClientBase): Promise<Database> {
  const { rows } = await source.query<Database>(DATABASE);
  const [found] = rows;
  if (!found) throw new Error('the current database is not in pg_database');
  return found;
}

/** Why the extras could not be restored exactly; empty: they could. Pure. */
export function unrestorable(
  { acl, superuser, owner, plainAcl }: Pick<Database, 'acl' | 'superuser' | 'owner' | 'plainAcl'>,
  { readOnlyDefault, connect, connectionLimit }: DatabaseExtras,
): string[] {
  return [
    ...((readOnlyDefault || connect || connectionLimit) && !owner
      ? ['the role does not own the database, so it may not alter it']
      : []),
    ...(connect && acl === null && !superuser
      ? [
          'CONNECT has the built-in default, which only a superuser can restore: `grant connect` would leave it spelled out',
        ]
      : []),
    ...(connect && !plainAcl && !superuser
      ? [
          'CONNECT was granted by others than the owner of the database, and only they can grant it again',
        ]
      : []),
    ...(connectionLimit && !superuser
      ? [
          'a connection limit counts the sessions of walferry, its walsender included, unless it is a superuser',
        ]
      : []),
  ];
}

function refuseExtras(database: Database, extras: DatabaseExtras, { source }: Migration): void {
  const why = unrestorable(database, extras);
  if (why.length === 0) return;
  throw new MigrationError(
    'FenceRefused',
    `the extras of the fence on "${source}" are refused before anything is changed: ${why.join('; ')}`,
  );
}

function previousOf(
  { readOnly, acl, limit }: Database,
  { readOnlyDefault, connect, connectionLimit }: DatabaseExtras,
): FenceSetting[] {
  return [
    ...(readOnlyDefault ? [{ what: 'readOnlyDefault' as const, previous: readOnly }] : []),
    ...(connect ? [{ what: 'connect' as const, previous: acl }] : []),
    ...(connectionLimit ? [{ what: 'connectionLimit' as const, previous: String(limit) }] : []),
  ];
}

/** Our own sessions set default_transaction_read_only = off at their start (pinned.ts), and superusers pass the limit. */
function taking(what: FenceSetting['what'], { name }: Database): string {
  switch (what) {
    case 'readOnlyDefault':
      return /* sql */ `alter database ${name} set default_transaction_read_only = on`;
    case 'connectionLimit':
      return /* sql */ `alter database ${name} connection limit 0`;
    case 'connect':
      // Our role by name, before PUBLIC loses it: the next session of ours must get in.
      return /* sql */ `
        do $$ declare grantee text; begin
          execute pg_catalog.format('grant connect on database %I to %I', pg_catalog.current_database(), current_user);
          for grantee in
            select distinct case when e.grantee = 0 then 'public' else pg_catalog.quote_ident(r.rolname) end
              from pg_catalog.pg_database d
             cross join lateral pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) e
              left join pg_catalog.pg_roles r on r.oid = e.grantee
             where d.datname = pg_catalog.current_database() and e.privilege_type = 'CONNECT'
               and e.grantee not in (d.datdba, (select oid from pg_catalog.pg_roles where rolname = current_user))
          loop
            execute pg_catalog.format('revoke connect on database %I from %s cascade', pg_catalog.current_database(), grantee);
          end loop;
        end $$`;
  }
}

async function giveBack(source: pg.ClientBase, { what, previous }: FenceSetting): Promise<void> {
  const { name, superuser, acl } = await readDatabase(source);
  switch (what) {
    case 'readOnlyDefault':
      await source.query(
        previous === null
          ? /* sql */ `alter database ${name} reset default_transaction_read_only`
          : /* sql */ `alter database ${name} set default_transaction_read_only = ${pg.escapeLiteral(previous)}`,
      );
      return;
    case 'connectionLimit':
      await source.query(/* sql */ `alter database ${name} connection limit ${Number(previous)}`);
      return;
    case 'connect':
      if (acl === previous) return;
      if (superuser) {
        // The only way back to a default that was never spelled out, and to the grants of others.
        await source.query(
          /* sql */ `update pg_catalog.pg_database set datacl = $1::aclitem[] where datname = pg_catalog.current_database()`,
          [previous],
        );
        return;
      }
      await source.query(/* sql */ `select pg_catalog.set_config('walferry.acl', $1, false)`, [
        previous,
      ]);
      await source.query(GRANT_BACK);
  }
}

/** CONNECT as it was, by the owner: what we gave ourselves goes, what everybody had comes back. */
const GRANT_BACK = /* sql */ `
do $$ declare one record; begin
  for one in
    with was as (select * from pg_catalog.aclexplode(pg_catalog.current_setting('walferry.acl')::aclitem[]) where privilege_type = 'CONNECT'),
         has as (select e.* from pg_catalog.pg_database d cross join lateral pg_catalog.aclexplode(d.datacl) e
                  where d.datname = pg_catalog.current_database() and e.privilege_type = 'CONNECT')
    select was.grantee is not null as back, coalesce(was.grantee, has.grantee) as grantee, coalesce(was.is_grantable, false) as option
      from was full join has using (grantee)
     where was.grantee is null or has.grantee is null or was.is_grantable <> has.is_grantable
  loop
    execute pg_catalog.format(case when one.back then 'grant connect on database %I to %s%s' else 'revoke connect on database %I from %s%s' end,
      pg_catalog.current_database(), case when one.grantee = 0 then 'public' else (select pg_catalog.quote_ident(r.rolname) from pg_catalog.pg_roles r where r.oid = one.grantee) end,
      case when one.back and one.option then ' with grant option' else '' end);
  end loop;
end $$`;
