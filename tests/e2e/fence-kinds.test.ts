/**
 * The fences that the source does not keep, through a whole migration: rights that are revoked, and the operator's own programs. The
 * worker is killed while the writes are stopped, and no other is there until the time is over: what gives them back is the next
 * worker. Then the cutover is done.
 */
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { expect, test } from 'vitest';
import { connectTo } from '../support/database.ts';
import { Lab } from '../support/lab.ts';
import { printed, reportOf } from '../support/printed-report.ts';
import { testRun } from '../support/run.ts';
import type { CliOutcome } from '../support/temporal.ts';
import { until } from '../support/until.ts';
import type { WorkerProcess } from '../support/worker.ts';

const TABLES = /* sql */ `
  create table a (id bigint generated always as identity primary key, v int, w int);
  create table b (id int primary key, v int);
  insert into b select g, 0 from generate_series(1, 100) g;`;

/** An application in its own role that never stops trying. */
class Application implements AsyncDisposable {
  committed = 0;
  refused = 0;
  #stopping = false;
  readonly #client: pg.Client;
  readonly #mayWrite: () => boolean;
  readonly #done: Promise<void>;

  constructor(client: pg.Client, mayWrite: () => boolean) {
    this.#client = client;
    this.#mayWrite = mayWrite;
    this.#done = this.#write();
  }

  async #write(): Promise<void> {
    while (!this.#stopping) {
      await sleep(3);
      if (!this.#mayWrite()) continue;
      try {
        await this.#client.query(
          /* sql */ `insert into a (v) values (1); update b set v = v + 1 where id = 1`,
        );
        this.committed += 1;
      } catch (error) {
        if (!(error instanceof pg.DatabaseError) || error.code !== '42501') throw error;
        this.refused += 1;
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping = true;
    await this.#done;
    await this.#client.end();
  }
}

/** Two roles of the source, dropped at the end. */
async function rolesOf(lab: Lab) {
  const [app, clerk] = ['app', 'clerk'].map((one) => `${one}_${randomBytes(4).toString('hex')}`);
  if (app === undefined || clerk === undefined) throw new Error('two names');
  await lab.onSource(`
    create role ${app}; create role ${clerk};
    grant select, insert, update, delete on a, b to ${app} with grant option;
    grant update (v), insert (v) on a to ${clerk}; grant truncate on b to public;
    set role ${app}; grant update on b to ${clerk}; grant insert (w) on a to ${clerk}; reset role`);
  const client = await connectTo(lab.pair.source);
  await client.query(`set session authorization ${app}`);
  return {
    client,
    [Symbol.asyncDispose]: async () => {
      await using again = await connectTo(lab.pair.source);
      await again.query(`drop table a, b; drop role ${app}, ${clerk}`);
    },
  };
}

const ACLS = /* sql */ `
  select c.relname::text as name, array(select a::text from unnest(c.relacl) a order by 1) as acl,
         array(select t.attname || ' ' || (select array_agg(x::text order by x::text) from unnest(t.attacl) x)::text
                 from pg_attribute t where t.attrelid = c.oid and t.attacl is not null order by 1) as columns
    from pg_class c where c.relname in ('a', 'b') and c.relnamespace = 'public'::regnamespace order by 1`;

/** Programs like a pooler's PAUSE and RESUME: closing returns when the application is idle. */
function programs() {
  const folder = mkdtempSync(path.join(testRun().folder, 'fence-'));
  const at = (name: string): string => path.join(folder, name);
  const program = (name: string, text: string): string => {
    const note = `echo "$WALFERRY_ACTION $WALFERRY_WORKFLOW" >> ${at('calls')}`;
    writeFileSync(at(name), `#!/bin/sh\n${text}\n${note}\n`);
    chmodSync(at(name), 0o755);
    return at(name);
  };
  const env = {
    WALFERRY_FENCE_CLOSE: program(
      'close',
      `touch ${at('closed')}; while [ ! -e ${at('idle')} ]; do sleep 0.02; done`,
    ),
    WALFERRY_FENCE_OPEN: program('open', `rm -f ${at('closed')} ${at('idle')}`),
    WALFERRY_FENCE_SECONDS: '20',
  };
  const mayWrite = (): boolean => {
    rmSync(at('idle'), { force: true });
    if (!existsSync(at('closed'))) return true;
    writeFileSync(at('idle'), '');
    return false;
  };
  const calls = (): string[] => readFileSync(at('calls'), 'utf8').trim().split('\n');
  return { env, mayWrite, calls };
}

/** A cutover that is under way when its worker dies; on a slow machine the first ones may be undone before they arm. */
async function stoppedBy(
  worker: WorkerProcess,
  lab: Lab,
): Promise<{ answer: Promise<CliOutcome> }> {
  for (const maxDowntimeSeconds of [BOX_SECONDS, 5 * BOX_SECONDS, 20 * BOX_SECONDS]) {
    const answer = lab.update('cutover', { maxDowntimeSeconds });
    let early = false;
    void answer.then(() => (early = true));
    await until('the worker to die', () => !worker.isAlive() || early, { seconds: 150 });
    if (!worker.isAlive()) return { answer };
  }
  throw new Error('no cutover was armed');
}

const INPUT = { schema: { owners: false, grants: false }, cutover: { sequenceMargin: 0 } };
/** Long enough that the first worker reaches the arming, short enough to wait for. */
const BOX_SECONDS = 6;

test.each(['roles', 'command'] as const)(
  '%s: the writes that a killed worker has stopped stay stopped past the deadline, the next worker gives them back exactly, and a second cutover switches',
  { timeout: 900_000 },
  async (kind) => {
    await using lab = await Lab.open(TABLES);
    await using roles = await rolesOf(lab);
    const { env, mayWrite, calls } = programs();
    await using app = new Application(roles.client, kind === 'command' ? mayWrite : () => true);
    const before = await lab.onSource(ACLS);
    const first = await lab.worker({ env: { ...env, WALFERRY_FAILPOINT: 'after-arm' } });
    await lab.start({ fence: kind, ...INPUT });
    await lab.phase('stream');
    await until('some rows', () => app.committed > 50);

    const undone = await stoppedBy(first, lab);
    await until(
      'the deadline to pass',
      async () => {
        const [gate] = await lab.onTarget<{ over: boolean }>(
          /* sql */ `select clock_timestamp() > deadline as over from walferry.fence_gate`,
        );
        return gate?.over === true;
      },
      { seconds: 150 },
    );
    const stopped = app.committed;
    await sleep(300);
    expect(app.committed).toBe(stopped);
    if (kind === 'roles') expect(app.refused).toBeGreaterThan(0);

    await lab.worker({ env });
    const answer = await undone.answer;
    expect(answer.code).not.toBe(0);
    expect(answer.stdout + answer.stderr).toContain('takes writes again');
    await until('writes on the source', () => app.committed > stopped + 20);
    expect(await lab.onSource(ACLS)).toEqual(before);
    if (kind === 'command') expect(calls().at(-1)).toBe(`open ${lab.id}`);

    const done = await lab.update('cutover');
    expect(done.code, done.stderr + done.stdout).toBe(0);
    expect((await lab.ending()).status).toBe('COMPLETED');
    const { committed } = app;
    await sleep(300);
    expect(app.committed).toBe(committed);
    await lab.expectEqual();
    await lab.expectNothingLeft();
    if (kind === 'command') {
      // A switch is never followed by "open": the application belongs to the target now.
      expect(calls().at(-1)).toBe(`close ${lab.id}`);
    } else {
      expect(await lab.onSource(ACLS)).not.toEqual(before);
    }
    await expectReported(lab, kind, before);
  },
);

/** What stays revoked on the old database is named, with the SQL that gives it back exactly; what was given back is, too. */
async function expectReported(
  lab: Lab,
  kind: 'roles' | 'command',
  before: readonly object[],
): Promise<void> {
  for (const worker of lab.workers) await worker.kill();
  const { leftBehind, changes } = reportOf(lab.id);
  expect(leftBehind?.[0]).toContain(`"${lab.pair.source}" stays closed for writes`);
  const rights = changes.filter(({ what }) => what.startsWith('rights of '));
  if (kind === 'command') return expect([rights, leftBehind?.length]).toEqual([[], 1]);
  expect(rights.length).toBeGreaterThan(2);
  for (const { what, made, undone, undo } of rights) {
    expect(what).toMatch(/: (?:INSERT|UPDATE|DELETE|TRUNCATE).* on public\.[ab].*, on "/);
    expect([made === null, undone]).toEqual([false, null]);
    expect(leftBehind?.join('\n')).toContain(what.split(', on "')[0] ?? '?');
    expect(undo).toMatch(/^(?:set role |grant )/);
  }
  for (const format of ['md', 'html'] as const) {
    expect(printed(lab.id, format)).toContain('SQL that restores what is still changed');
  }
  for (const { undo = '' } of rights) await lab.onSource(undo);
  expect(await lab.onSource(ACLS)).toEqual(before);
}

const DATABASE = /* sql */ `
  select d.datacl::text as acl, d.datconnlimit as limit,
         (select s.setconfig::text from pg_db_role_setting s where s.setdatabase = d.oid and s.setrole = 0) as settings
    from pg_database d where d.datname = current_database()`;
const FENCE = /* sql */ `
  select from pg_trigger where tgrelid = 'public.b'::regclass and tgname like '~walferry_fence%'`;

test('extras: an undone cutover and one that switches give back read-only default, CONNECT and connection limit exactly', async () => {
  await using lab = await Lab.open(TABLES);
  const { source } = lab.pair;
  await lab.onSource(
    `alter database ${source} connection limit 40; alter database ${source} set work_mem = '5MB'`,
  );
  const before = await lab.onSource(DATABASE);
  await lab.worker();
  const fenceExtras = { readOnlyDefault: true, connect: true, connectionLimit: true };
  await lab.start({ fence: 'trigger', fenceExtras, ...INPUT });
  await lab.phase('stream');

  await using blocker = await connectTo(source);
  const undone = lab.update('cutover', { maxDowntimeSeconds: BOX_SECONDS });
  await until('the fence', async () => (await lab.onSource(FENCE)).length > 0);
  await blocker.query(/* sql */ `begin; insert into b values (1000, 0)`);
  const taken = await until('the extras to be taken', async () => {
    const now = await lab.onSource<{ acl: string; limit: number; settings: string }>(DATABASE);
    return now[0]?.limit === 0 && now[0].settings.includes('read_only=on') ? now[0] : null;
  });
  // Nothing is left for PUBLIC, and walferry has it by name.
  expect(taken.acl).not.toMatch(/[{,]=[a-zA-Z]*c/);
  const answer = await undone;
  expect(answer.code).not.toBe(0);
  expect(answer.stdout + answer.stderr).toMatch(/did not end within|takes writes again/);
  expect(await lab.onSource(DATABASE)).toEqual(before);

  await blocker.query('rollback');
  const done = await lab.update('cutover');
  expect(done.code, done.stderr + done.stdout).toBe(0);
  expect((await lab.ending()).status).toBe('COMPLETED');
  expect(await lab.onSource(DATABASE)).toEqual(before);
  await lab.expectEqual();
  await lab.expectNothingLeft();

  for (const worker of lab.workers) await worker.kill();
  const { changes, leftBehind, cutovers } = reportOf(lab.id);
  const [first, second] = cutovers;
  for (const what of ['default_transaction_read_only', 'CONNECT', 'connection limit']) {
    const change = changes.find((one) => one.what.startsWith(what));
    // With both cutovers: from the first one on, until it was given back after the second.
    expect(change?.made).toBe(first?.stoppedAt);
    expect(Date.parse(change?.undone ?? '')).toBeGreaterThan(Date.parse(second?.at ?? ''));
    expect(leftBehind?.join('\n')).not.toContain(what);
  }
  expect(printed(lab.id, 'md')).toMatch(
    /\| connection limit of the database, on "\w+" \| 2\S+ \S+ UTC \| 2\S+ \S+ UTC \|/,
  );
});
