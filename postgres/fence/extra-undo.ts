/** The SQL that gives back what a fence takes in addition (extras.ts), for whoever has to do it by hand. Read before the first change. */
import pg from 'pg';
import type { FenceSetting } from '../../contract/fence.ts';
import type { FenceTaking } from '../../contract/fence-change.ts';

const DATABASE = /* sql */ `
select d.datname::text as name, pg_catalog.quote_ident(d.datname) as quoted,
       (select r.rolsuper from pg_catalog.pg_roles r where r.rolname = current_user) as superuser,
       array(select pg_catalog.format('grant connect on database %I to %s%s', d.datname,
                      case when e.grantee = 0 then 'public' else (select pg_catalog.quote_ident(r.rolname) from pg_catalog.pg_roles r where r.oid = e.grantee) end,
                      case when e.is_grantable then ' with grant option' else '' end)
               from pg_catalog.aclexplode(d.datacl) e where e.privilege_type = 'CONNECT' and e.grantee <> d.datdba) as grants,
       exists (select from pg_catalog.aclexplode(d.datacl) e join pg_catalog.pg_roles r on r.oid = e.grantee
                where e.privilege_type = 'CONNECT' and r.rolname = current_user) as granted, pg_catalog.quote_ident(current_user) as own
  from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()`;

interface Database {
  readonly name: string;
  /** For SQL. */
  readonly quoted: string;
  readonly superuser: boolean;
  /** Statements that grant CONNECT as it is now, to everybody but the owner. */
  readonly grants: readonly string[];
  /** Whether this role has CONNECT by name. */
  readonly granted: boolean;
  /** This role, for SQL. */
  readonly own: string;
}

/** @param settings the values of now. */
export async function describeExtras(
  source: pg.ClientBase,
  settings: readonly FenceSetting[],
): Promise<FenceTaking[]> {
  const { rows } = await source.query<Database>(DATABASE);
  const [database] = rows;
  if (!database) throw new Error('the current database is not in pg_database');
  return settings.map((one) => ({ ...takingOf(one, database), extra: true }));
}

function takingOf({ what, previous }: FenceSetting, database: Database): FenceTaking {
  const { quoted } = database;
  switch (what) {
    case 'readOnlyDefault':
      return {
        what: 'default_transaction_read_only of the database',
        undo:
          previous === null
            ? /* sql */ `alter database ${quoted} reset default_transaction_read_only`
            : /* sql */ `alter database ${quoted} set default_transaction_read_only = ${pg.escapeLiteral(previous)}`,
      };
    case 'connectionLimit':
      return {
        what: 'connection limit of the database',
        undo: /* sql */ `alter database ${quoted} connection limit ${Number(previous)}`,
      };
    case 'connect':
      return { what: 'CONNECT on the database', undo: connectAgain(previous, database) };
  }
}

/** A default that was never spelled out, and the grants of others, come back only by the catalog: as extras.ts gives them back. */
function connectAgain(
  previous: string | null,
  { name, quoted, superuser, grants, granted, own }: Database,
): string {
  if (superuser) {
    const acl = previous === null ? 'null' : `${pg.escapeLiteral(previous)}::aclitem[]`;
    return /* sql */ `update pg_catalog.pg_database set datacl = ${acl} where datname = ${pg.escapeLiteral(name)}`;
  }
  const revoked = granted ? [] : [/* sql */ `revoke connect on database ${quoted} from ${own}`];
  return [...grants, ...revoked].join('; ');
}
