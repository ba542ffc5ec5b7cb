/**
 * Triggers that are disabled while changes are applied, as the control schema records them: by oid, because they may be renamed
 * together with their table or schema. If the object was dropped on the target, the one that has its name now takes its place.
 */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';

export type TriggerKind = 'trigger' | 'rule' | 'event trigger';

/** A trigger, rule or event trigger that would fire, with its current names. */
export interface EnabledTrigger {
  readonly kind: TriggerKind;
  readonly oid: string;
  readonly schema_name: string;
  readonly table_name: string;
  readonly name: string;
  /** `tgenabled`, `ev_enabled` or `evtenabled`. */
  readonly state: string;
}

export interface DisabledTrigger extends EnabledTrigger {
  /** Whether walferry created it, so that the source has it, too. */
  readonly made: boolean;
  /** Names under which it was recorded. */
  readonly noted: Pick<EnabledTrigger, 'schema_name' | 'table_name' | 'name'>;
}

/** All triggers, rules and event triggers with their names; those of views are never disabled. */
const PRESENT = /* sql */ `
  select 'trigger' as kind, g.oid, n.nspname::text as schema_name, c.relname::text as table_name, g.tgname::text as name, g.tgenabled::text as state
    from pg_catalog.pg_trigger g join pg_catalog.pg_class c on c.oid = g.tgrelid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace where not g.tgisinternal
  union all
  select 'rule', r.oid, n.nspname, c.relname, r.rulename, r.ev_enabled::text
    from pg_catalog.pg_rewrite r join pg_catalog.pg_class c on c.oid = r.ev_class
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace where r.ev_type <> '1'
  union all
  select 'event trigger', e.oid, '', '', e.evtname, e.evtenabled::text from pg_catalog.pg_event_trigger e`;

/** Records what was disabled, in the transaction that disables it. */
export async function noteDisabled(
  target: pg.ClientBase,
  migration: Migration,
  { kind, schema_name, table_name, name, state, oid }: EnabledTrigger,
  made: boolean,
): Promise<void> {
  await target.query(
    /* sql */ `
    insert into walferry.disabled_trigger (migration, kind, schema_name, table_name, name, state, object, made)
    values ($1, $2, $3, $4, $5, $6, $7, $8)
    -- Enabled again, after a cutover or by the operator: keep the state that was recorded first.
    on conflict (migration, kind, schema_name, table_name, name) do update
       set given_back = false, object = excluded.object`,
    [migration.id, kind, schema_name, table_name, name, state, oid, made],
  );
}

/** The recorded triggers that still exist, ordered by their current names. @param givenBack whether their state is restored. */
export async function readDisabledTriggers(
  target: pg.ClientBase,
  migration: Migration,
  givenBack: boolean,
): Promise<DisabledTrigger[]> {
  const { rows } = await target.query<
    Omit<DisabledTrigger, 'noted'> & { noted: [string, string, string] }
  >(
    /* sql */ `
    with present as materialized (${PRESENT})
    select q.kind, coalesce(i.oid, n.oid)::text as oid, q.state::text as state, coalesce(q.made, false) as made,
           coalesce(i.schema_name, n.schema_name) as schema_name, coalesce(i.table_name, n.table_name) as table_name,
           coalesce(i.name, n.name) as name, array[q.schema_name, q.table_name, q.name] as noted
      from walferry.disabled_trigger q
      left join present i on i.kind = q.kind and i.oid = q.object
      left join present n on i.oid is null and n.kind = q.kind and n.schema_name = q.schema_name
                         and n.table_name = q.table_name and n.name = q.name
     where q.migration = $1 and q.given_back = $2 and coalesce(i.oid, n.oid) is not null
     order by 5, 6, 7, 1`,
    [migration.id, givenBack],
  );
  return rows.map(({ noted: [schema_name, table_name, name], ...row }) => ({
    ...row,
    noted: { schema_name, table_name, name },
  }));
}

/** Records whether the state is restored, in the transaction that changes it. */
export async function markDisabled(
  target: pg.ClientBase,
  migration: Migration,
  trigger: Noted,
  givenBack: boolean,
): Promise<void> {
  await update(target, migration, trigger, 'given_back', givenBack);
}

/** Records the state that it will get, for one that is not switched yet. */
export async function noteState(
  target: pg.ClientBase,
  migration: Migration,
  trigger: Noted,
  state: string,
): Promise<void> {
  await update(target, migration, trigger, 'state', state);
}

type Noted = Pick<DisabledTrigger, 'kind' | 'noted'>;

async function update(
  target: pg.ClientBase,
  migration: Migration,
  { kind, noted }: Noted,
  column: 'given_back' | 'state',
  value: boolean | string,
): Promise<void> {
  await target.query(
    /* sql */ `
    update walferry.disabled_trigger set ${column} = $6
     where migration = $1 and kind = $2 and schema_name = $3 and table_name = $4 and name = $5`,
    [migration.id, kind, noted.schema_name, noted.table_name, noted.name, value],
  );
}

/** The states that these have on the source now, by name; omits those that the source does not have. */
export async function statesOn(
  source: pg.ClientBase,
  wanted: readonly EnabledTrigger[],
): Promise<ReadonlyMap<EnabledTrigger, string>> {
  const { rows } = await source.query<{ at: string; state: string }>(
    /* sql */ `
    with present as materialized (${PRESENT})
    select w.at - 1 as at, p.state
      from unnest($1::text[], $2::text[], $3::text[], $4::text[]) with ordinality as w (kind, schema_name, table_name, name, at)
      join present p using (kind, schema_name, table_name, name)`,
    [
      wanted.map(({ kind }) => kind),
      wanted.map(({ schema_name }) => schema_name),
      wanted.map(({ table_name }) => table_name),
      wanted.map(({ name }) => name),
    ],
  );
  return new Map(
    rows.flatMap(({ at, state }) => {
      const one = wanted[Number(at)];
      return one ? [[one, state] as const] : [];
    }),
  );
}
