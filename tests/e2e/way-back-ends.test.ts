/**
 * What stops or ends a way back on real servers: DDL and tables that the old database lacks, a terminated workflow and its cleanup, and
 * every kind of fence. The application writes on the new database all the time.
 */
import { chmodSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { expect, test } from 'vitest';
import { cleanUp } from '../../scripts/cleanup/cleaner.ts';
import { connectTo } from '../support/database.ts';
import { Lab } from '../support/lab.ts';
import { reportOf } from '../support/printed-report.ts';
import { testRun } from '../support/run.ts';
import { expectNoTrace } from '../support/trace.ts';
import { until } from '../support/until.ts';

const INPUT = { fence: 'trigger', switchback: '24h', verify: 'off', stream: { leaseSeconds: 5 } };
const DDL = /* sql */ `create table t (id int primary key, who text); insert into t values (1, 'before')`;

async function switched(more: Record<string, unknown> = {}, env = {}, ddl = DDL): Promise<Lab> {
  const lab = await Lab.open(ddl);
  await lab.worker({ env });
  await lab.start({ ...INPUT, ...more });
  await lab.phase('stream');
  const answer = await lab.update('cutover');
  expect(answer.stdout, answer.stderr).toContain('The way back is open until');
  return lab;
}

const write = (lab: Lab, id: number) =>
  lab.onTarget(/* sql */ `insert into t values (${id}, 'new')`);

const arrives = (lab: Lab, id: number) =>
  until(
    `row ${id} on the old database`,
    async () => (await lab.onSource(/* sql */ `select from t where id = ${id}`)).length === 1,
  );

test('DDL that the old database lacks stops the way back until it has it, a new table stops it for good, and the application never notices', async () => {
  await using lab = await switched();
  await lab.onTarget(/* sql */ `alter table t add column v text`);
  await lab.onTarget(/* sql */ `insert into t values (2, 'new', 'x')`);
  const stopped = await lab.waiting();
  expect(stopped).toMatchObject({ phase: 'reverse', waiting: { code: 'SchemaDrift' } });
  expect(stopped.waiting?.reason).toContain('public.t.v is missing on the old database');
  expect(stopped.waiting?.action).toMatch(/on the old database, too, then resume/);
  await write(lab, 3);
  await lab.onSource(/* sql */ `alter table t add column v text`);
  expect((await lab.update('resume')).code).toBe(0);
  await arrives(lab, 3);

  await lab.onTarget(
    /* sql */ `create table public.fresh (id int primary key); insert into public.fresh values (1)`,
  );
  // Qualified: the control schema is named like the role of these tests, and stands first in its search path.
  const lost = await lab.waiting();
  expect(lost.waiting?.code).toBe('UnknownRelation');
  expect(lost.waiting?.reason).toMatch(/^way back from .*public\.fresh/);
  expect(lost.waiting?.action).toContain('finalize');
  await write(lab, 4);
  const ended = await lab.update('finalize', { oldDatabase: 'open' });
  expect(ended.code, ended.stderr).toBe(0);
  expect(ended.stdout).toContain(`"${lab.pair.source}" takes writes again`);
  expect((await lab.ending()).status).toBe('COMPLETED');
  await lab.onSource(/* sql */ `insert into t values (5, 'old')`);
  await expectNoTrace(lab);
});

test('a workflow that was terminated leaves a way back that cleanup removes in every phase, and the live database keeps taking writes', async () => {
  const remove = async (lab: Lab): Promise<void> => {
    for (const worker of lab.workers) await worker.kill();
    await lab.handle.terminate('test');
    const { source, target } = lab.pair;
    expect(await cleanUp(source, target, { workflowId: lab.id, force: false })).toBe(0);
    await expectNoTrace(lab);
  };
  await using before = await Lab.open(DDL);
  await before.worker();
  await before.start(INPUT);
  // Preflight tries a slot of its own there.
  await before.phase('stream');
  const slots = /* sql */ `select from pg_replication_slots where database = current_database()`;
  await until('the slot back', async () => (await before.onTarget(slots)).length === 1);
  await remove(before);
  await before.onSource(/* sql */ `insert into t values (2, 'old')`);

  await using after = await switched();
  await write(after, 2);
  await arrives(after, 2);
  await using application = await connectTo(after.pair.target);
  let written = 2;
  const writing = { over: false };
  const writer = (async () => {
    while (!writing.over) {
      await application.query(/* sql */ `insert into t values ($1, 'new')`, [written + 1]);
      written += 1;
    }
  })();
  await remove(after);
  writing.over = true;
  await writer;
  expect(written).toBeGreaterThan(3);
});

/** The operator's commands note what they were called for. */
function commands(): { env: Record<string, string>; calls: () => string[] } {
  const folder = mkdtempSync(path.join(testRun().folder, 'commands-'));
  const [file, log] = [path.join(folder, 'note'), path.join(folder, 'log')];
  writeFileSync(log, '');
  writeFileSync(file, `#!/bin/sh\necho "$WALFERRY_ACTION $WALFERRY_SOURCE" >> ${log}\n`);
  chmodSync(file, 0o755);
  const env = { WALFERRY_FENCE_CLOSE: file, WALFERRY_FENCE_OPEN: file };
  return { env, calls: () => readFileSync(log, 'utf8').trim().split('\n') };
}

test('with the operator\u2019s commands as the fence, a switch back closes the new database and opens the old one', async () => {
  const { env, calls } = commands();
  await using lab = await switched({ fence: 'command' }, env);
  await write(lab, 2);
  const answer = await lab.update('switchback');
  expect(answer.code, answer.stderr + answer.stdout).toBe(0);
  expect(answer.stdout).toContain(
    `"${lab.pair.target}" stays closed for writes as its fence left it`,
  );
  const { source, target } = lab.pair;
  const once = calls().filter((call, at, all) => call !== all[at - 1]);
  expect(once).toEqual([`close ${source}`, `close ${target}`, `open ${source}`]);
  expect((await lab.ending()).status).toBe('COMPLETED');
  await arrives(lab, 2);
  await expectNoTrace(lab);
});

test('with revoked rights as the fence, a switch back revokes them on the new database and grants them again on the old one', async () => {
  const role = `app_${randomBytes(4).toString('hex')}`;
  const create = /* sql */ `create role ${role} login`;
  await using lab = await Lab.open(
    /* sql */ `${create}; ${DDL}; grant select, insert on t to ${role}`,
  );
  await lab.onTarget(create);
  await lab.worker();
  await lab.start({ ...INPUT, fence: 'roles' });
  await lab.phase('stream');
  const may = async (side: 'source' | 'target'): Promise<boolean> => {
    const sql = /* sql */ `select has_table_privilege('${role}', 't', 'insert') as may`;
    const rows = await (side === 'source'
      ? lab.onSource<{ may: boolean }>(sql)
      : lab.onTarget<{ may: boolean }>(sql));
    return rows[0]?.may === true;
  };
  const answer = await lab.update('cutover');
  expect(answer.stdout, answer.stderr).toContain('The way back is open until');
  expect([await may('source'), await may('target')]).toEqual([false, true]);
  const { source, target } = lab.pair;
  const [kept, ...others] = (await lab.progress()).fenceChanges ?? [];
  expect(others).toEqual([]);
  expect(kept).toMatchObject({
    ...{ on: source, what: `rights of "${role}": INSERT on public.t` },
    ...{ undo: `grant INSERT on table public.t to "${role}"` },
    update: `finalize --input '{"oldDatabase": "open"}'`,
  });
  expect(await lab.details()).toContain('changed rights or settings on the old database (1)');
  await write(lab, 2);
  const back = await lab.update('switchback');
  expect(back.code, back.stderr + back.stdout).toBe(0);
  expect([await may('source'), await may('target')]).toEqual([true, false]);
  expect((await lab.ending()).status).toBe('COMPLETED');
  await arrives(lab, 2);
  const { changes, leftBehind } = reportOf(lab.id);
  const rights = changes.filter(({ what }) => what.startsWith('rights of '));
  expect(rights.map(({ what, undone }) => [what.split(', on ')[1], undone === null])).toEqual([
    [`"${source}"`, false],
    [`"${target}"`, true],
  ]);
  const left = leftBehind?.filter((one) => one.includes(role)) ?? [];
  expect(left).toEqual([expect.stringContaining(`changed on "${target}" by the fence`)]);
  await lab.onTarget(rights[1]?.undo ?? '');
  expect(await may('target')).toBe(true);
});

test('with revoked rights as the fence, finalize opens the old database, or leaves it closed and says what grants the rights again', async () => {
  const role = `app_${randomBytes(4).toString('hex')}`;
  const create = /* sql */ `create role ${role} login`;
  const ends = async (oldDatabase: 'open' | 'sealed') => {
    await using lab = await Lab.open(/* sql */ `${DDL}; grant select, insert on t to ${role}`);
    await lab.worker();
    const schema = { owners: false, grants: false };
    await lab.start({ ...INPUT, fence: 'roles', schema });
    await lab.phase('stream');
    const answer = await lab.update('cutover');
    expect(answer.stdout, answer.stderr).toContain('The way back is open until');
    expect(answer.stdout).toContain('walferry report lists what the fence has changed there');
    const ended = await lab.update('finalize', { oldDatabase });
    expect(ended.code, ended.stderr + ended.stdout).toBe(0);
    expect((await lab.ending()).status).toBe('COMPLETED');
    const may = async (): Promise<boolean> => {
      const sql = /* sql */ `select has_table_privilege('${role}', 't', 'insert') as may`;
      return (await lab.onSource<{ may: boolean }>(sql))[0]?.may === true;
    };
    const { changes, leftBehind } = reportOf(lab.id);
    const change = changes.find(({ what }) => what.startsWith('rights of '));
    const result = { may: await may(), undone: change?.undone != null, left: leftBehind?.length };
    await lab.onSource(change?.undo ?? '');
    expect(await may()).toBe(true);
    await lab.onSource(`drop table t`);
    return result;
  };
  await using admin = await Lab.open(create);
  expect(await ends('open')).toEqual({ may: true, undone: true, left: 0 });
  expect(await ends('sealed')).toEqual({ may: false, undone: false, left: 2 });
  await admin.onSource(`drop role ${role}`);
});
