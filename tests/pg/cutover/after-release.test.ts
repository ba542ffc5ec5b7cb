/** The operator's own SQL and command after the release: what fails is reported with its code, and nothing is undone. */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { afterRelease } from '../../../postgres/cutover/after-release.ts';
import { inputOf, recordedWork, registered } from '../../support/control.ts';
import { freshPair } from '../../support/database.ts';
import { testRun } from '../../support/run.ts';

const NONE = {};
const DDL = /* sql */ `create table t (id int); create function noted() returns trigger language plpgsql as 'begin new.id := new.id + 100; return new; end';
  create trigger noted before insert on t for each row execute function noted()`;

function program(body: string): string {
  const file = path.join(mkdtempSync(path.join(testRun().folder, 'command-')), 'announce');
  writeFileSync(file, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  return file;
}

test('statements run on the target in their order, as an application would, up to the first that fails, which is named by its SQLSTATE', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  await db.targetClient.query(DDL);
  const input = (afterSql: string[]) => inputOf(db, { cutover: { afterRelease: afterSql } });
  const good = input([/* sql */ `insert into t values (1)`, /* sql */ `insert into t values (2)`]);
  expect(await afterRelease(migration, good, recordedWork(), NONE)).toEqual({
    ...{ statements: 2, failed: null, command: null, commandFailed: null },
  });
  const ids = async () =>
    (await db.targetClient.query<{ id: number }>('select id from t order by id')).rows.map(
      ({ id }) => id,
    );
  // Triggers fire, and names without a schema are found.
  expect(await ids()).toEqual([101, 102]);
  const bad = input([
    /* sql */ `insert into t values (3)`,
    /* sql */ `insert into missing values (1)`,
    /* sql */ `insert into t values (4)`,
  ]);
  const env = { WALFERRY_AFTER_RELEASE: program('exit 0') };
  expect(await afterRelease(migration, bad, recordedWork(), env)).toEqual({
    ...{ statements: 1, failed: { statement: 2, sqlstate: '42P01' } },
    ...{ command: null, commandFailed: null },
  });
  expect(await ids()).toEqual([101, 102, 103]);
});

test('a repetition leaves out the statements that have finished, and runs again what they have set', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  const input = inputOf(db, {
    cutover: {
      afterRelease: [
        /* sql */ `create schema app`,
        /* sql */ `set search_path = app`,
        /* sql */ `create table once (id int)`,
        /* sql */ `insert into once values ((select 1 / go from public.closed))`,
        /* sql */ `insert into once values (2)`,
      ],
    },
  });
  // The fourth fails, as it does when its worker is lost.
  await db.targetClient.query(
    /* sql */ `create table public.closed (go int); insert into public.closed values (0)`,
  );
  const env = { WALFERRY_AFTER_RELEASE: program('exit 0') };
  expect(await afterRelease(migration, input, recordedWork(), env)).toMatchObject({
    ...{ statements: 3, failed: { statement: 4, sqlstate: '22012' } },
  });
  await db.targetClient.query(/* sql */ `update public.closed set go = 1`);
  for (const _ of ['after the failure', 'after the end']) {
    expect(await afterRelease(migration, input, recordedWork(), env)).toEqual({
      ...{ statements: 5, failed: null, command: 'announce', commandFailed: null },
    });
  }
  const { rows } = await db.targetClient.query('select id from app.once order by id');
  expect(rows).toEqual([{ id: 1 }, { id: 2 }]);
});

test('the command learns what was released, and its exit code, its time limit and a wrong path are reported', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  const run = (file: string, more = {}) =>
    afterRelease(migration, inputOf(db), recordedWork(), { WALFERRY_AFTER_RELEASE: file, ...more });
  const said = path.join(mkdtempSync(path.join(testRun().folder, 'said-')), 'said');
  const saying = program(`echo "$WALFERRY_WORKFLOW $WALFERRY_SOURCE $WALFERRY_TARGET" > ${said}`);
  expect(await run(saying)).toMatchObject({ command: 'announce', commandFailed: null });
  expect(readFileSync(said, 'utf8')).toBe(`orders ${db.source} ${db.target}\n`);
  expect((await run(program('exit 3'))).commandFailed).toBe('ended with exit code 3');
  const late = { WALFERRY_AFTER_RELEASE_SECONDS: '1' };
  expect((await run(program('sleep 60'), late)).commandFailed).toBe('did not end within 1 s');
  expect((await run('announce')).commandFailed).toMatch(/^was not run: .* not an absolute path$/);
});
