/** Properties of our session: its role, that role's rights over our other sessions, and superuser-only settings. */
import type pg from 'pg';

export interface SessionFacts {
  /** `session_user`. */
  readonly login: string;
  /** `current_user`: differs from the login after `alter role … set role`. */
  readonly role: string;
  /** Whether the role sees and may terminate sessions of the login; every step ends sessions of earlier attempts. */
  readonly overOwn: boolean;
  /** Settings, set by a superuser for this role or database, that let it read damaged pages without an error. */
  readonly hidingDamage: readonly string[];
}

export async function ownSession(client: pg.ClientBase): Promise<SessionFacts> {
  const { rows } = await client.query<SessionFacts>(/* sql */ `
    select session_user as login, current_user as role,
           a.backend_start is not null
             and (r.rolsuper
                  or not l.rolsuper and (pg_has_role(current_user, l.oid, 'usage')
                                         or pg_has_role(current_user, 'pg_signal_backend', 'usage'))) as "overOwn",
           array(select s.name from pg_catalog.pg_settings s
                  where s.name in ('zero_damaged_pages', 'ignore_checksum_failure') and s.setting = 'on'
                     or s.name = 'composite_type_mismatch' and s.setting <> 'error') as "hidingDamage"
      from pg_catalog.pg_stat_activity a
      join pg_catalog.pg_roles l on l.oid = a.usesysid
      join pg_catalog.pg_roles r on r.rolname = current_user
     where a.pid = pg_backend_pid()`);
  const [row] = rows;
  if (!row) throw new Error('the session is not in pg_stat_activity');
  return row;
}
