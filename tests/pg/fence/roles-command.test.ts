/** The fences that the source does not keep: rights that are revoked and granted back, the operator's command; and the extras. */
import { randomBytes, randomUUID } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type pg from 'pg';
import { afterEach, expect, test } from 'vitest';
import type { DatabaseExtras } from '../../../contract/fence.ts';
import { endStoredFence } from '../../../postgres/fence/end-stored-fence.ts';
import { describeExtras } from '../../../postgres/fence/extra-undo.ts';
import { giveBackExtras, previousValues, takeExtras } from '../../../postgres/fence/extras.ts';
import { MOST_TAKINGS } from '../../../contract/fence-change.ts';
import { connectSource } from '../../../postgres/session/open.ts';
import { readFenceGrants } from '../../../postgres/store/fence-grant.ts';
import { decide } from '../../../postgres/store/outcome.ts';
import { recordedWork } from '../../support/control.ts';
import { loginOn } from '../../support/preflight.ts';
import { failure } from '../schema/schema-fidelity.ts';
import { fenced, stateOf } from './fenced.ts';

const ACLS = /* sql */ `
  select c.relname::text as name, c.relacl::text as acl,
         array(select a.attacl::text from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 order by a.attnum) as columns
    from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') order by 1`;

const aclsOf = async (client: pg.Client): Promise<unknown[]> =>
  (await client.query<object>(ACLS)).rows;

/** Three roles of this test alone, dropped at the end. */
async function roles(client: () => Promise<pg.Client>) {
  const names = ['owner', 'app', 'clerk'].map((one) => `${one}_${randomBytes(4).toString('hex')}`);
  const [owner = '', app = '', clerk = ''] = names;
  for (const name of names) await (await client()).query(`create role ${name} login`);
  return {
    ...{ owner, app, clerk },
    [Symbol.asyncDispose]: async () => {
      const admin = await client();
      await admin.query(/* sql */ `drop table a, b, c`);
      for (const name of [...names].reverse()) {
        await admin.query(
          `reassign owned by ${name} to current_user; drop owned by ${name} cascade; drop role ${name}`,
        );
      }
    },
  };
}

const SCHEMA = /* sql */ `create table a (id int primary key, v int, w int); create table b (id int); create table c (id int)`;

test('roles: rights to write are revoked and granted back exactly, with grantors, grant options and columns', async () => {
  await using f = await fenced(SCHEMA, {}, 'roles');
  await using who = await roles(() => f.app());
  const admin = await f.app();
  await admin.query(`
    alter table a owner to ${who.owner}; alter table b owner to ${who.owner};
    set role ${who.owner};
    grant select, insert, delete on a to ${who.app}; grant update on a to ${who.app} with grant option;
    grant update (v), insert (id) on a to ${who.clerk}; grant insert (w) on a to ${who.app} with grant option; grant truncate, insert on b to public;
    set role ${who.app}; grant update on a to ${who.clerk} with grant option; grant insert (w) on a to ${who.clerk};
    set role ${who.clerk}; grant update on a to public;
    reset role`);
  const before = await aclsOf(admin);
  const [app, owner] = [await f.app(who.app), await f.app(who.owner)];
  await app.query(/* sql */ `prepare write as update a set v = 1`);
  await app.query(/* sql */ `execute write`);
  const { changes: announced } = await f.fence.install(
    ...([f.source, f.migration, f.input, recordedWork()] as const),
  );
  const { cutover } = await f.arm();
  expect(await f.prove()).toMatchObject({ holders: 0 });
  for (const sql of [
    'execute write',
    'insert into a values (1)',
    'insert into b values (1)',
    'truncate b',
  ]) {
    expect(await stateOf(app, sql), sql).toBe('42501');
  }
  expect(await stateOf(app, 'select * from a')).toBe('done');
  // Owners are not bound, and that is what the rights say.
  expect(await stateOf(owner, 'insert into a values (1)')).toBe('done');
  const { passes } = await f.fence.rights(f.source, f.input);
  expect(passes.find(({ name }) => name === 'owners')?.what).toContain(who.owner);
  // A repeated attempt takes nothing twice.
  const again = { cutover, milliseconds: 60_000 };
  await f.fence.arm(f.source, f.migration, again);
  expect(await readFenceGrants(f.db.targetClient, f.migration)).toHaveLength(11);
  expect(await f.fence.seal(f.source, f.migration, cutover)).toBe(true);
  const stays = (await f.fence.stays?.(f.source, f.migration)) ?? [];
  await f.fence.open(f.source, f.migration, cutover);
  await f.fence.open(f.source, f.migration, cutover);
  expect(await f.fence.stays?.(f.source, f.migration)).toEqual([]);
  expect(announced).toEqual(stays);
  expect(sorted(await aclsOf(admin))).toEqual(sorted(before));
  expect(await stateOf(app, 'execute write')).toBe('done');
  expect(await readFenceGrants(f.db.targetClient, f.migration)).toEqual([]);
  await failure(f.fence.arm(f.source, f.migration, again), 'CutoverRepeated');

  // By name, for whoever has only the report: what it says grants exactly the same rights.
  expect(stays.map(({ what }) => what)).toContain(
    `rights of "${who.clerk}": INSERT ("w") on public.a, granted by "${who.app}"`,
  );
  const next = randomUUID();
  await f.fence.arm(f.source, f.migration, { cutover: next, milliseconds: 60_000 });
  expect(sorted(await aclsOf(admin))).not.toEqual(sorted(before));
  for (const { undo = '' } of stays) await admin.query(undo);
  expect(sorted(await aclsOf(admin))).toEqual(sorted(before));
  await f.fence.open(f.source, f.migration, next);
});

test('roles: cleanup after a switch that no worker has ended names the rights that stay revoked, with the SQL that grants them back', async () => {
  await using f = await fenced(SCHEMA, {}, 'roles');
  await using who = await roles(() => f.app());
  const admin = await f.app();
  await admin.query(`grant insert, update on a, b to ${who.app}; grant insert on c to ${who.app}`);
  const before = await aclsOf(admin);
  const { cutover } = await f.arm();
  expect(await f.fence.seal(f.source, f.migration, cutover)).toBe(true);
  await decide(f.db.targetClient, f.migration, cutover, 'switched');
  const lines = await endStoredFence(f.source, f.db.targetClient, f.migration);
  expect(lines).toEqual([
    expect.stringContaining('(5) stay revoked: the cutover has switched'),
    `rights of "${who.app}": INSERT, UPDATE on public.a, public.b; to grant them back: grant INSERT, UPDATE on table public.a, public.b to "${who.app}"`,
    `rights of "${who.app}": INSERT on public.c; to grant them back: grant INSERT on table public.c to "${who.app}"`,
  ]);
  for (const line of lines.slice(1)) await admin.query(line.split('them back: ')[1] ?? '');
  expect(sorted(await aclsOf(admin))).toEqual(sorted(before));
});

test('roles: the names of very many rights are bounded, and how many more there are is said', async () => {
  await using f = await fenced(SCHEMA, {}, 'roles');
  await using who = await roles(() => f.app());
  const admin = await f.app();
  for (let i = 0; i < 150; i += 1) {
    // Each in its own group.
    await admin.query(
      `create table many_${i} (c${i} int); grant insert (c${i}) on many_${i} to ${who.app}`,
    );
  }
  const { changes = [] } = await f.fence.install(
    ...([f.source, f.migration, f.input, recordedWork()] as const),
  );
  expect(changes).toHaveLength(MOST_TAKINGS);
  expect(changes.at(-1)).toEqual({
    what: '71 more groups of rights, too many to name: the target has them where grants were copied',
  });
});

/** An ACL is a set: its order has no meaning. */
const sorted = (acls: readonly unknown[]): unknown =>
  JSON.parse(
    JSON.stringify(acls, (_key, value: unknown) =>
      typeof value === 'string' && value.startsWith('{')
        ? value.slice(1, -1).split(',').sort()
        : value,
    ),
  );

test('roles: a right whose grantor walferry may not act for is refused before anything is revoked', async () => {
  await using f = await fenced(SCHEMA, {}, 'roles');
  await using who = await roles(() => f.app());
  await using login = await loginOn(f.db, 'source');
  const admin = await f.app();
  await admin.query(`
    grant ${who.owner} to ${login.role}; alter table a owner to ${who.owner};
    grant pg_monitor to ${login.role};
    set role ${who.owner}; grant update on a to ${who.app} with grant option; set role ${who.app}; grant update on a to ${who.clerk}; reset role`);
  const before = await aclsOf(admin);
  const migration = { ...f.migration, source: login.service };
  await using plain = await connectSource(migration, 'cutover');
  const input = { ...f.input, tables: { ...f.input.tables, include: ['public.a'] } };
  const { message } = await failure(
    f.fence.install(plain, migration, input, recordedWork()),
    'FenceRefused',
  );
  expect(message).toContain(who.app);
  expect((await f.fence.rights(plain, input)).missing.join()).toContain(who.app);
  expect(await aclsOf(admin)).toEqual(before);
});

const folder = mkdtempSync(path.join(tmpdir(), 'fence-command-'));
const VARIABLES = [
  'WALFERRY_FENCE_CLOSE',
  'WALFERRY_FENCE_OPEN',
  'WALFERRY_FENCE_SECONDS',
] as const;
afterEach(() => {
  for (const name of VARIABLES) delete process.env[name];
  rmSync(path.join(folder, 'calls'), { force: true });
});

/** A program of the operator that notes how it was called. */
function program(name: string, text: string): string {
  const file = path.join(folder, name);
  writeFileSync(
    file,
    `#!/bin/sh\necho "$WALFERRY_ACTION $# $WALFERRY_CUTOVER REHEARSAL=$REHEARSAL" >> ${folder}/calls\n${text}\n`,
  );
  chmodSync(file, 0o755);
  return file;
}
const calls = (): string[] => readFileSync(path.join(folder, 'calls'), 'utf8').trim().split('\n');

test('command: the programs of the worker close and open, without a shell, and learn from their environment what for', async () => {
  await using f = await fenced(SCHEMA, {}, 'command');
  const { message } = await failure(
    f.fence.install(f.source, f.migration, f.input, recordedWork()),
    'FenceRefused',
  );
  expect(message).toContain('WALFERRY_FENCE_CLOSE on the worker is not set');
  process.env['WALFERRY_FENCE_CLOSE'] = program('close; rm -rf $HOME', 'exit 0');
  process.env['WALFERRY_FENCE_OPEN'] = program('open', 'exit 0');
  expect((await f.fence.rights(f.source, f.input)).missing).toEqual([]);
  const { cutover } = await f.arm();
  expect(await f.prove()).toMatchObject({ holders: 0 });
  await f.fence.open(f.source, f.migration, cutover);
  await f.fence.open(f.source, f.migration, cutover);
  expect(calls()).toEqual([`close 0 ${cutover} REHEARSAL=`, `open 0 ${cutover} REHEARSAL=`]);
  const rehearsed = randomUUID();
  await f.fence.arm(f.source, f.migration, {
    cutover: rehearsed,
    milliseconds: 60_000,
    rehearsal: true,
  });
  expect(calls().at(-1)).toBe(`close 0 ${rehearsed} REHEARSAL=1`);
});

test('command: a failure is named by its exit code without its output, one that hangs is killed with its children, and open undoes both', async () => {
  await using f = await fenced(SCHEMA, {}, 'command');
  process.env['WALFERRY_FENCE_OPEN'] = program('open', 'exit 0');
  process.env['WALFERRY_FENCE_CLOSE'] = program(
    'failing',
    'echo secret-word; echo secret-word >&2; exit 3',
  );
  await f.fence.install(f.source, f.migration, f.input, recordedWork());
  const first = await failure(
    f.fence.arm(f.source, f.migration, { cutover: 'one', milliseconds: 60_000 }),
    'FenceRefused',
  );
  expect(first.message).toContain('"failing" that should close the fence ended with exit code 3');
  expect(JSON.stringify(first)).not.toContain('secret');
  await f.fence.open(f.source, f.migration, 'one');
  expect(calls().at(-1)).toMatch(/^open/);
  process.env['WALFERRY_FENCE_SECONDS'] = '1';
  process.env['WALFERRY_FENCE_CLOSE'] = program(
    'hanging',
    `sleep 60 & echo $! > ${folder}/child; wait`,
  );
  const second = await failure(
    f.fence.arm(f.source, f.migration, { cutover: 'two', milliseconds: 60_000 }),
    'FenceRefused',
  );
  expect(second.message).toContain('did not end within 1 s');
  const child = Number(readFileSync(path.join(folder, 'child'), 'utf8'));
  expect(isRunning(child)).toBe(false);
  await f.fence.open(f.source, f.migration, 'two');
  expect(calls().at(-1)).toBe('open 0 two REHEARSAL=');
});

/** A killed process whose parent is gone may stay a zombie where no one reaps it. */
function isRunning(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

test('none: nothing is taken, and the gate still decides by its deadline', async () => {
  await using f = await fenced(SCHEMA, {}, 'none');
  const { cutover } = await f.arm(1);
  expect(await stateOf(await f.app(), 'insert into a values (1)')).toBe('done');
  expect(await f.fence.seal(f.source, f.migration, cutover)).toBe(false);
  await f.fence.open(f.source, f.migration, cutover);
  const next = await f.arm();
  expect(await f.fence.seal(f.source, f.migration, next.cutover)).toBe(true);
  expect(await f.fence.gate(f.source, f.migration)).toMatchObject({ state: 'sealed' });
});

const ALL: DatabaseExtras = {
  readOnlyDefault: true,
  connect: true,
  connectionLimit: true,
};
const DATABASE = /* sql */ `
  select d.datacl::text as acl, d.datconnlimit as limit,
         (select s.setconfig::text from pg_db_role_setting s where s.setdatabase = d.oid and s.setrole = 0) as settings
    from pg_database d where d.datname = current_database()`;

test.each(['built-in defaults', 'settings of its own'])(
  'extras: a superuser takes a read-only default, CONNECT and the limit of a database with %s, and gives back exactly what was there',
  async (what) => {
    await using f = await fenced(SCHEMA);
    await using login = await loginOn(f.db, 'source');
    const admin = await f.app();
    if (what !== 'built-in defaults') {
      await admin.query(`alter database ${f.db.source} set default_transaction_read_only = off; alter database ${f.db.source} set work_mem = '5MB';
        alter database ${f.db.source} connection limit 50; revoke connect on database ${f.db.source} from public; grant connect on database ${f.db.source} to ${login.role} with grant option`);
    }
    const before = (await admin.query(DATABASE)).rows;
    const migration = { ...f.migration, source: login.service };
    const kept = await takeExtras(f.source, f.migration, ALL);
    // A repetition keeps the first values.
    expect(await takeExtras(f.source, f.migration, ALL)).toEqual(kept);
    expect(kept.map(({ what: one }) => one)).toEqual([
      'connect',
      'connectionLimit',
      'readOnlyDefault',
    ]);
    await failure(connectSource(migration, 'cutover'), 'Denied');
    const fresh = await f.app();
    expect(await stateOf(fresh, 'insert into a values (1)')).toBe('25006');
    // Our own new sessions get in and write.
    await using ours = await connectSource(f.migration, 'cutover');
    expect(await stateOf(ours, 'insert into public.a values (2)')).toBe('done');
    await giveBackExtras(f.source, f.migration);
    await giveBackExtras(f.source, f.migration);
    expect((await admin.query(DATABASE)).rows).toEqual(before);
    await using again = await connectSource(migration, 'cutover');
    expect(again.pid).not.toBeNull();
    // What the report says gives back the same.
    await takeExtras(f.source, f.migration, ALL);
    for (const { undo = '' } of await describeExtras(f.source, kept)) await f.source.query(undo);
    expect((await admin.query(DATABASE)).rows).toEqual(before);
    await giveBackExtras(f.source, f.migration);
    expect((await admin.query(DATABASE)).rows).toEqual(before);
  },
);

test('extras: what only a superuser could restore is refused to the owner of the database before anything is changed', async () => {
  await using f = await fenced(SCHEMA);
  await using login = await loginOn(f.db, 'source');
  const admin = await f.app();
  const owner = admin.user ?? '';
  await admin.query(`alter database ${f.db.source} owner to ${login.role}`);
  const migration = { ...f.migration, source: login.service };
  try {
    const before = (await admin.query(DATABASE)).rows;
    await using plain = await connectSource(migration, 'cutover');
    const { message } = await failure(takeExtras(plain, migration, ALL), 'FenceRefused');
    expect(message).toMatch(/built-in default.*connection limit counts/);
    expect((await admin.query(DATABASE)).rows).toEqual(before);
    // Where the rights are spelled out, the owner can restore them.
    await admin.query(`grant connect on database ${f.db.source} to pg_monitor with grant option`);
    const spelled = (await admin.query(DATABASE)).rows;
    const extras = { ...ALL, connectionLimit: false };
    const named = await describeExtras(plain, await previousValues(plain, migration, extras));
    await takeExtras(plain, migration, extras);
    expect((await admin.query(DATABASE)).rows).not.toEqual(spelled);
    for (const { undo = '' } of named) await plain.query(undo);
    expect(sorted((await admin.query(DATABASE)).rows)).toEqual(sorted(spelled));
    await giveBackExtras(plain, migration);
    expect(sorted((await admin.query(DATABASE)).rows)).toEqual(sorted(spelled));
  } finally {
    await admin.query(`alter database ${f.db.source} owner to ${owner}`);
  }
});
