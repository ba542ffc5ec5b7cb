/**
 * To a newer major version, as in practice: whole migrations under load, between real servers of different versions.
 * wal2json 2.5 sends numbers without NaN and infinities, 2.6 and later send them as text on request: both are covered
 * here. `npm run setup -- --versions` fetches the servers; without them these tests are skipped.
 */
import path from 'node:path';
import { expect, test } from 'vitest';
import { findOther } from '../../scripts/local/setup/versions.ts';
import type { OtherMajor } from '../../scripts/local/setup/versions.ts';
import { probeNumericAsText } from '../../postgres/wal2json/probe.ts';
import { sourceServer } from '../support/database.ts';
import { Lab } from '../support/lab.ts';
import { LOAD_TABLES } from '../support/load.ts';
import { until } from '../support/until.ts';
import { serverOf } from '../support/versions.ts';

/**
 * Values for which the decodings differ, and objects that an old dump has to create on a new server.
 */
const TABLES = /* sql */ `${LOAD_TABLES}
  create type mood as enum ('good', 'bad'); create domain ratio as float8 check (value > -1e300 or value <> value);
  create table value (id bigint primary key, n numeric, f float8, g float4, big bigint not null, list numeric[], r ratio, m mood,
    raw bytea, doc jsonb, twice numeric generated always as (n * 2) stored);
  create table part (id int, day date, primary key (id, day)) partition by range (day);
  create table part_old partition of part for values from (minvalue) to ('2024-01-01');
  create table part_new partition of part for values from ('2024-01-01') to (maxvalue);
  create index on value using gin (doc); create view big_values as select id from value where big > 10;
  create materialized view counted as select count(*) from item;
  create sequence free increment 7;
  create function bump() returns trigger language plpgsql as 'begin new.big := new.big + 1; return new; end';
  create trigger bump before insert on value for each row execute function bump();`;

const rows = (first: number): string => /* sql */ `
  insert into value (id, n, f, g, big, list, r, m, raw, doc) values
    (${first}, 'NaN', 'NaN', 'Infinity', 9007199254740993, '{NaN,1.10,null}', 'NaN', 'good', '\\x00ff', '{"a": 1.10}'),
    (${first + 1}, 'Infinity', '-Infinity', 'NaN', -9223372036854775808, '{}', 'Infinity', null, '', null),
    (${first + 2}, 123456789012345678901234567890.10, 5e-324, 1e-45, 0, null, 0.1, 'bad', null, '[]'),
    (${first + 3}, null, null, null, 1, null, null, null, null, null);
  insert into part select i, '2023-06-01'::date + i * 20 from generate_series(${first}, ${first + 30}) i;`;

async function migrates(from: 'own' | OtherMajor, to: OtherMajor): Promise<void> {
  const old = from === 'own' ? undefined : findOther(from);
  const fresh = findOther(to);
  if (!fresh) throw new Error('not fetched');
  await using source = old ? await serverOf('source', old) : undefined;
  await using target = await serverOf('target', fresh);
  await using lab = await Lab.open(TABLES + rows(1), source ? { source, target } : { target });
  // The client programs must be at least of the source's major version: the first on the PATH are taken.
  const programs = old?.folder ?? sourceServer().spec.programs;
  const PATH = [programs, process.env['PATH'] ?? ''].join(path.delimiter);
  await lab.worker({ env: { PATH } });
  const load = lab.load();
  await lab.start();
  await lab.phase('stream');
  const committed = load.committed;
  await lab.onSource(rows(100));
  await lab.onSource(
    /* sql */ `update value set n = 'NaN', f = 'Infinity', id = id + 1000 where id in (3, 102)`,
  );
  await lab.onSource(/* sql */ `update value set n = 1.50, f = null where id in (1, 101)`);
  await lab.onSource(
    /* sql */ `update part set day = day + 400 where id % 3 = 0; select nextval('free')`,
  );
  await until('more load', () => load.committed > committed + 100);
  // Which decoding this was: the plugin shows which options it knows.
  expect(await decodesNumbersAsText(lab)).toBe(from !== 'own');
  await lab.finish();
  expect(await lab.onTarget(`select id from big_values where id = 1`)).toHaveLength(1);
  expect(
    await lab.onTarget(`select from pg_trigger where tgname = 'bump' and tgenabled = 'O'`),
  ).toHaveLength(1);
  const [version] = await lab.onTarget<{ v: string }>(
    `select current_setting('server_version_num') as v`,
  );
  expect(Math.floor(Number(version?.v) / 10_000)).toBe(to);
}

async function decodesNumbersAsText(lab: Lab): Promise<boolean> {
  await lab.onSource(`select pg_create_logical_replication_slot('probe', 'wal2json')`);
  try {
    return await probeNumericAsText(lab.pair.sourceClient, 'probe');
  } finally {
    await lab.onSource(`select pg_drop_replication_slot('probe')`);
  }
}

test.skipIf(!findOther(17))(
  'from this machine’s PostgreSQL (wal2json 2.5) to 17, under load, every value and object arrives',
  () => migrates('own', 17),
);

test.skipIf(!findOther(18))(
  'from this machine’s PostgreSQL (wal2json 2.5) to 18, under load, every value and object arrives',
  () => migrates('own', 18),
);

test.skipIf(!findOther(17) || !findOther(18))(
  'from 17 (wal2json 2.6, numbers as text) to 18, under load, every value and object arrives',
  () => migrates(17, 18),
);

// The newest and the oldest of those here that have wal2json: without it a way back from 18 is refused on day one (way-back-plugin).
test.skipIf(!findOther(17))(
  'from this machine’s older PostgreSQL to 17 and back: what the application wrote on 17 is on the old server, value for value',
  async () => {
    const fresh = findOther(17);
    if (!fresh) throw new Error('not fetched');
    await using target = await serverOf('target', fresh);
    await using lab = await Lab.open(TABLES + rows(1), { target });
    const PATH = [sourceServer().spec.programs, process.env['PATH'] ?? ''].join(path.delimiter);
    await lab.worker({ env: { PATH } });
    await lab.start({ fence: 'trigger', switchback: '24h', verify: 'off' });
    await lab.phase('stream');
    const cutover = await lab.update('cutover');
    expect(cutover.stdout, cutover.stderr).toContain('The way back is open until');
    await lab.onTarget(rows(200));
    await lab.onTarget(/* sql */ `
      update value set n = 'NaN', f = '-Infinity', id = id + 1000 where id in (1, 202);
      delete from value where id = 3; update part set day = day + 400 where id % 3 = 0`);
    const back = await lab.update('switchback');
    expect(back.code, back.stderr + back.stdout).toBe(0);
    expect((await lab.ending()).status).toBe('COMPLETED');
    const [version] = await lab.onSource<{ v: string }>(
      `select current_setting('server_version_num') as v`,
    );
    expect(Number(version?.v)).toBeLessThan(170_000);
    const read = /* sql */ `select v::text as row from value v union all select p::text from part p order by 1`;
    const old = await lab.onSource<{ row: string }>(read);
    expect(old).toEqual(await lab.onTarget<{ row: string }>(read));
    expect(old.filter(({ row }) => row.includes('NaN')).length).toBeGreaterThan(3);
    // A trigger that acted on 17 has not acted again: its effect came as part of the row.
    await lab.onSource(/* sql */ `insert into value (id, big) values (9000, 1)`);
    expect(await lab.onSource(/* sql */ `select big::int from value where id = 9000`)).toEqual([
      { big: 2 },
    ]);
  },
);
