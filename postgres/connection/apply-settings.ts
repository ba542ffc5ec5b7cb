/** Applying the application's settings (defaults.ts) to a transaction or session of ours, and undoing that. */
import type pg from 'pg';
import { EVALUATED, PINNED } from './pinned.ts';

export type Settings = ReadonlyMap<string, string>;

/**
 * Which of the names `w` this session may set now. A loaded library may restrict its parameters to superusers or grantees (15 and
 * later), and may reject other names with its prefix. Omitted names keep the value that the session started with, which is the
 * database's: setting that needs no privilege of ours. Queried each time, because a function may load a library.
 */
const settable = (granted: string) => /* sql */ `
  case when s.name is null then
    pg_catalog.strpos(w.name, '.') operator(pg_catalog.=) 0 or pg_catalog.current_setting(w.name, true) is not null
    or not exists (select from pg_catalog.pg_settings o
                    where pg_catalog.lower(pg_catalog.split_part(o.name, '.', 1)) operator(pg_catalog.=) pg_catalog.lower(pg_catalog.split_part(w.name, '.', 1))
                      and pg_catalog.strpos(o.name, '.') operator(pg_catalog.>) 0)
  when s.vartype operator(pg_catalog.<>) 'string' and w.value operator(pg_catalog.=) '' then false
  when s.context operator(pg_catalog.=) 'superuser' then
    pg_catalog.current_setting('is_superuser') operator(pg_catalog.=) 'on' or ${granted}
  else s.context operator(pg_catalog.=) 'user' end`;
const KNOWS_GRANTS = new WeakMap<pg.ClientBase, boolean>();

export function isCustomized(settings: Settings): boolean {
  return [...settings.keys()].some((name) => name.includes('.'));
}

/** Applies these settings to the transaction or the session, except those that its role may not set. */
export async function setFor(
  scope: 'transaction' | 'session',
  client: pg.ClientBase,
  settings: Settings,
): Promise<void> {
  const given = [[...settings.keys()], [...settings.values()], scope === 'transaction'];
  const names = /* sql */ `unnest($1::text[], $2::text[]) as w (name, value)`;
  // Any role may set the built-in settings that we set.
  if (!isCustomized(settings)) {
    await client.query(
      /* sql */ `select pg_catalog.set_config(w.name, w.value, $3) from ${names}`,
      given,
    );
    return;
  }
  const granted = (await knowsGrants(client))
    ? `pg_catalog.has_parameter_privilege(s.name, 'set')`
    : 'false';
  // Materialized: first decide what may be set, then set it, because the view shows changes at once.
  await client.query(
    /* sql */ `
    with mine as materialized (
      select w.name, w.value
        from ${names}
        left join pg_catalog.pg_settings s on pg_catalog.lower(s.name) operator(pg_catalog.=) pg_catalog.lower(w.name)
       where ${settable(granted)})
    select pg_catalog.set_config(name, value, $3) from mine`,
    given,
  );
}

async function knowsGrants(client: pg.ClientBase): Promise<boolean> {
  let known = KNOWS_GRANTS.get(client);
  if (known === undefined) {
    const { rows } = await client.query<{ known: boolean }>(/* sql */ `
      select pg_catalog.current_setting('server_version_num')::pg_catalog.int4 operator(pg_catalog.>=) 150000 as known`);
    known = rows[0]?.known === true;
    KNOWS_GRANTS.set(client, known);
  }
  return known;
}

/** The pinned values of the same settings, to undo {@link setFor} within a transaction. */
export const PINNED_FOR_ROWS: Settings = new Map(
  EVALUATED.map((name): [string, string] => [name, PINNED[name] ?? '']),
);

/** Whether two values of a column may print alike under these settings: then their texts do not identify a row. */
export function printsInexactly(settings: Settings): boolean {
  return (
    Number(settings.get('extra_float_digits') ?? '1') < 1 ||
    // Other styles print a time zone by its abbreviation, which may mean two offsets.
    !(settings.get('DateStyle') ?? 'ISO').startsWith('ISO')
  );
}
