/** What the target computes: under the defaults of the application's sessions there, from texts that our sessions print. */
import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { Defaults } from '../../../postgres/connection/defaults.ts';
import { setFor } from '../../../postgres/connection/apply-settings.ts';
import { connect } from '../../../postgres/connection/connect.ts';
import { PINNED } from '../../../postgres/connection/pinned.ts';
import { normalPath } from '../../../postgres/connection/search-path.ts';
import { connectTo, freshPair } from '../../support/database.ts';
import type { FreshPair } from '../../support/database.ts';
import { loginOn } from '../../support/preflight.ts';
import { Steps } from '../../support/steps.ts';

const STYLES = ['ISO', 'SQL', 'Postgres', 'German'];
const ORDERS = ['MDY', 'DMY', 'YMD'];
const ZONES = ['UTC', 'Europe/Berlin', 'America/St_Johns', 'Asia/Kathmandu', 'Europe/Moscow'];
const INTERVALS = ['postgres', 'postgres_verbose', 'sql_standard', 'iso_8601'];

/** Values of every type whose text depends on a setting, with the extremes of each. */
const VALUES = /* sql */ `
  create type public.moment as (at timestamptz, d date, i interval);
  create table public.v (id serial primary key, d date, ts timestamp, tz timestamptz, tt timetz, i interval, f4 real, f8 float8, b bytea,
    many timestamptz[], days daterange, c public.moment);
  insert into public.v (d, ts, tz)
    select d, d::timestamp + time '23:59:59.999999', d::timestamp at time zone 'UTC'
      from (select '0001-01-01'::date + n * 3 as d from generate_series(0, 40) n
            union all select '4713-01-01 BC'::date + n from generate_series(0, 5) n
            union all select '0099-12-25'::date + n from generate_series(0, 20) n
            union all select '9999-12-25'::date + n from generate_series(0, 20) n
            union all select '99999-12-25'::date + n from generate_series(0, 20) n
            union all select '2026-03-20'::date + n from generate_series(0, 20) n
            union all select '2014-10-20'::date + n from generate_series(0, 10) n) days;
  insert into public.v (d, ts, tz) values ('infinity', 'infinity', 'infinity'), ('-infinity', '-infinity', '-infinity');
  insert into public.v (tz) select '2026-10-25 00:00+00'::timestamptz + n * interval '10 minutes' from generate_series(0, 20) n;
  insert into public.v (tt) values ('23:59:59.999999+15:59:59'), ('00:00-11:30'), ('24:00:00-15:59');
  insert into public.v (i)
    select make_interval(y, m, 0, d, 0, 0, s) from unnest(array[-178000, -1, 0, 1, 178000]) y, unnest(array[-11, 0, 11]) m,
      unnest(array[-31, 0, 1]) d, unnest(array[-3661.000001, -0.5, 0, 0.000001, 90061]) s;
  insert into public.v (f4, f8, b) values (1e-45, 5e-324, '\\x'), ('-0', '-0', '\\x5c27'), (0.1, 0.1::float8 + 0.2, '\\x00ff'), ('NaN', '-Infinity', '\\x5c7830');
  update public.v set many = array[tz, null, tz], days = case when isfinite(d) then daterange(d, null) end, c = row(tz, d, i);`;

const COLUMNS = 'd, ts, tz, tt, i, f4, f8, b, many, days, c';

describe('a text that our sessions have printed', () => {
  it('is the same value under every date style, order, time zone and interval style', async () => {
    await using db = await freshPair();
    const client = db.sourceClient;
    const pin = Object.entries(PINNED)
      .map(([name, value]) => `set ${name} = ${pg.escapeLiteral(value)}`)
      .join(';');
    await client.query(`${pin}; ${VALUES}`);
    const texts = COLUMNS.split(', ').map((name) => `${name}::text`);
    await client.query(`create table public.printed as select id, ${texts.join(', ')} from public.v;
      create table public.readback (like public.v)`);
    for (const style of STYLES) {
      for (const order of ORDERS) {
        for (const [n, zone] of ZONES.entries()) {
          const intervals = INTERVALS[n % INTERVALS.length];
          await client.query(`set datestyle = '${style}, ${order}'; set timezone = '${zone}';
            set intervalstyle = '${intervals}'; set extra_float_digits = -15; set bytea_output = escape;
            truncate public.readback; insert into public.readback (id, ${COLUMNS})
            select id, d::date, ts::timestamp, tz::timestamptz, tt::timetz, i::interval, f4::real, f8::float8, b::bytea,
                   many::timestamptz[], days::daterange, c::public.moment from public.printed;
            ${pin}`);
          const { rows } =
            await client.query(`select v.id from public.v join public.readback r using (id)
            where row(${texts.map((text) => `v.${text}`).join(', ')}) is distinct from row(${texts.map((text) => `r.${text}`).join(', ')})`);
          expect(rows, `${style} ${order} ${zone} ${intervals}`).toEqual([]);
        }
      }
    }
    const { rows } = await client.query<{ n: string }>('select count(*) as n from public.readback');
    expect(Number(rows[0]?.n)).toBeGreaterThan(300);
  });
});

const SCHEMA = /* sql */ `
  create schema app;
  create function public.shown(t timestamptz) returns text language sql immutable as $$ select $1::text $$;
  create function app.local_day(t timestamptz) returns date language sql immutable as $$ select $1::date $$;
  create function app.day_of(v text) returns date language sql immutable as $$ select $1::date $$;
  create function app.span(v text) returns interval language sql immutable as $$ select $1::interval $$;
  create function app.helped(t timestamptz) returns text language sql immutable as $$ select shown($1) $$;
  create domain app.summer as timestamptz check (value::date < '2030-01-01');
  create domain app.ratio as float8;
  create table app.event (id int primary key, at timestamptz, day date generated always as (app.local_day(at)) stored,
    txt text, txt_day date generated always as (app.day_of(txt)) stored, f float8, f_text text generated always as (f::text) stored,
    s text, s_span interval generated always as (app.span(s)) stored, b bytea, b_text text generated always as (b::text) stored,
    check (app.local_day(at) = day), late app.summer);
  create table app.loose (f app.ratio, at timestamptz, day date generated always as (app.local_day(at)) stored, n int);
  alter table app.loose replica identity full;
  create index event_day on app.event (app.local_day(at));
  create index event_txt on app.event (app.helped(at)) where app.day_of(txt) > '2024-01-01';
  create statistics app.event_st on (app.helped(at)), id from app.event;
  create materialized view app.per_day as select at::date as day, count(*) as n, min(at)::text as first from app.event group by 1;`;

const rows = (first: number, n: number) => /* sql */ `
  insert into app.event (id, at, txt, f, s, b, late)
    select i, timestamptz '2024-01-01 23:30+00' + (i % 300) * interval '6 hours', '03/04/2024', 0.1::float8 + 0.2, '-1 02:00:00', '\\x00ff', '2029-12-31 20:00+00'
      from generate_series(${first}, ${first + n - 1}) i;
  insert into app.loose (f, at, n) select 1.0000000000000002 + i * 2.3e-16, timestamptz '2014-10-25 21:00+00' + i * interval '20 minutes', i
    from generate_series(${first}, ${first + Math.min(n, 40) - 1}) i;`;

/** Everything that was computed, as the application's sessions see it. */
const COMPUTED = [
  'select id, day, txt_day, f_text, s_span::text, b_text from app.event order by id',
  'select f::numeric, at, day, n from app.loose order by n, at',
  'select * from app.per_day order by day, n',
  `select array_agg(id order by id) from app.event where app.local_day(at) = '2024-01-02'`,
];

async function computed(db: FreshPair, side: 'source' | 'target', as?: string): Promise<unknown[]> {
  await using client = await connectTo(db[side]);
  if (as !== undefined) await client.query(as);
  // An index that was built under other settings returns other rows than the table.
  await client.query('set enable_seqscan = off; set datestyle = iso; set extra_float_digits = 3');
  const found = [];
  for (const sql of COMPUTED) found.push((await client.query(sql)).rows);
  return found;
}

async function moves(db: FreshPair, source: string, target: string): Promise<void> {
  await using steps = new Steps(source, target, { copy: { chunkMegabytes: 1 } });
  await steps.copy();
  await steps.indexes();
  await using app = await connectTo(db.source);
  await app.query(rows(20_000, 500));
  await steps.drain();
  await app.query(`${rows(30_000, 3)} update app.event set at = at + interval '3 hours' where id < 20;
    update app.loose set at = at + interval '1 hour' where n between 3 and 6; delete from app.loose where n in (2, 9)`);
  await app.query('refresh materialized view app.per_day');
  await steps.cutover();
}

describe('what the target computes is what the application would compute there', () => {
  const SETTINGS = [
    `timezone = 'Europe/Moscow'`,
    `datestyle = 'SQL, DMY'`,
    `extra_float_digits = 0`,
  ];

  it('with defaults of the databases, and others for the role that migrates', async () => {
    await using db = await freshPair();
    for (const setting of [
      ...SETTINGS,
      `intervalstyle = 'sql_standard'`,
      'bytea_output = escape',
    ]) {
      await db.sourceClient.query(`alter database ${db.source} set ${setting}`);
      await db.targetClient.query(`alter database ${db.target} set ${setting}`);
    }
    await using target = await loginOn(db, 'target', 'superuser');
    for (const setting of [
      `timezone = 'Asia/Tokyo'`,
      `search_path = pg_catalog`,
      `datestyle = 'SQL, MDY'`,
    ]) {
      await db.targetClient.query(`alter role ${target.role} set ${setting}`);
    }
    await using app = await connectTo(db.source);
    await app.query(SCHEMA);
    await app.query(rows(1, 15_000));
    await moves(db, db.source, target.service);
    const [source, there] = [await computed(db, 'source'), await computed(db, 'target')];
    expect(there).toEqual(source);
    expect(JSON.stringify(source)).toContain('"first":"02/01/2024');
  });
});

describe('the defaults of an owner', () => {
  it('apply to its tables: those in the database before those of the role, before those of the database', async () => {
    await using db = await freshPair();
    await using owner = await loginOn(db, 'source');
    await db.targetClient.query(`create role ${owner.role}`);
    for (const [client, database] of [
      [db.sourceClient, db.source],
      [db.targetClient, db.target],
    ] as const) {
      await client.query(`alter database ${database} set timezone = 'Asia/Tokyo';
        alter database ${database} set datestyle = 'SQL, DMY'; alter role ${owner.role} set timezone = 'America/New_York';
        alter role ${owner.role} in database ${database} set timezone = 'Europe/Moscow';
        alter role ${owner.role} in database ${database} set extra_float_digits = 0`);
    }
    await using app = await connectTo(db.source);
    const as = `set timezone = 'Europe/Moscow'; set datestyle = 'SQL, DMY'; set extra_float_digits = 0`;
    await app.query(
      `${SCHEMA} ${as}; ${['table app.event', 'table app.loose', 'materialized view app.per_day']
        .map((one) => `alter ${one} owner to ${owner.role}`)
        .join(
          '; ',
        )}; grant usage on schema app to ${owner.role}; ${rows(1, 2_000)} refresh materialized view app.per_day`,
    );
    await using steps = new Steps(db.source, db.target);
    await steps.copy();
    await steps.indexes();
    await app.query(`${rows(20_000, 500)} refresh materialized view app.per_day`);
    await steps.cutover();
    const [source, there] = [await computed(db, 'source', as), await computed(db, 'target', as)];
    expect(there).toEqual(source);
    // 23:30 UTC is the next day in Moscow and the same day in New York.
    expect(JSON.stringify(source)).toContain('"first":"02/01/2024');
    await db.targetClient.query(`drop owned by ${owner.role} cascade; drop role ${owner.role}`);
  });
});

describe('parameters of a library that is loaded', () => {
  it.each(['loaded at the start of every session', 'loaded in the middle of the session'])(
    'a role that may not set them keeps the values of the database and sets the others: %s',
    async (when) => {
      await using db = await freshPair();
      const client = db.targetClient;
      const set = async (setting: string) =>
        client.query(`alter database ${db.target} set ${setting}`);
      const early = when.includes('start');
      await set('auto_explain.log_nested_statements = on');
      await set('auto_explain.gone = 1');
      await set(`plpgsql.variable_conflict = 'use_column'`);
      await set(`app.tenant = 'seven'`);
      await using login = await loginOn(db, 'target');
      await client.query(`alter role ${login.role} set app.tenant = 'own'`);
      await client.query(`alter role ${login.role} set plpgsql.check_asserts = off`);
      if (early) await set(`session_preload_libraries = auto_explain, plpgsql`);
      await using session = await connect(login.service, 'apply');
      const defaults = await Defaults.read(login.service, 'apply', session);
      const values = async () => {
        await session.query('begin');
        await setFor('transaction', session, await defaults.forTable(session, 'public.none'));
        const { rows } = await session.query<{ tenant: string; conflict: string }>(
          `select current_setting('app.tenant') as tenant, current_setting('plpgsql.variable_conflict') as conflict`,
        );
        await session.query('commit');
        return rows[0];
      };
      const expected = { tenant: 'seven', conflict: 'use_column' };
      expect(await values()).toEqual(expected);
      await session.query(`do $$ begin end $$`);
      expect(await values()).toEqual(expected);
      await client.query(
        `grant set on parameter auto_explain.log_nested_statements, plpgsql.variable_conflict to ${login.role}`,
      );
      expect(await values()).toEqual(expected);
      await client.query(
        `revoke set on parameter auto_explain.log_nested_statements, plpgsql.variable_conflict from ${login.role}`,
      );
    },
  );
});

describe('a search path', () => {
  it('has pg_catalog first, whatever it names, and the owner for "$user"', () => {
    expect(normalPath('"$user", public', null)).toBe('"public"');
    expect(normalPath('evil, pg_catalog, "$user", "Odd, ""x"""', 'own')).toBe(
      '"evil", "own", "Odd, ""x"""',
    );
    expect(normalPath('', 'own')).toBe('');
    expect(normalPath('App,  pg_temp', null)).toBe('"app", "pg_temp"');
  });
});
