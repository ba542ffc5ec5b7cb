/**
 * No password and no row value outside the two databases. PostgreSQL puts values into its messages (the DETAIL of a
 * violated constraint, the text of 22P02 itself), so the migrations here cause such messages.
 */
import { expect, test } from 'vitest';
import { ArgumentWatch, shown, written } from '../support/exposure.ts';
import { Lab } from '../support/lab.ts';
import { testRun } from '../support/run.ts';

/** Part of every text value; its end distinguishes the values. */
const MARKER = 'MARKERvalue0815';

/** Fails with the place, never with the text: otherwise the failure would leak it, too. */
function expectClean(places: ReadonlyMap<string, string>): void {
  const secrets = [testRun().source.password, testRun().target.password];
  for (const [place, text] of places) {
    expect(text.includes(MARKER), `a row value in: ${place}`).toBe(false);
    expect(
      secrets.some((secret) => text.includes(secret)),
      `a password in: ${place}`,
    ).toBe(false);
  }
}

/** Names are not secret and must be there: a place without them was not really searched. */
function expectLookedAt(lab: Lab, places: ReadonlyMap<string, string>): void {
  expect(places.get('database file of the Temporal server')).toContain(lab.pair.source);
  expect(places.get('log of worker')).toContain('a snapshot is held');
}

test('violated keys in indexes and stream reveal no value and no password anywhere, nor do client programs', async () => {
  await using lab = await Lab.open(`
    create table person (code text primary key, n int);
    create table visit (id int primary key, code text references person);
    insert into person select '${MARKER}' || i, i from generate_series(1, 100) i;
    insert into visit select i, '${MARKER}' || i from generate_series(1, 100) i;
    -- A row that breaks its foreign key: on a source that was loaded without triggers.
    set session_replication_role = replica;
    insert into visit values (1000, '${MARKER}orphan');
    set session_replication_role = origin;`);
  const worker = await lab.worker();
  const places = new Map<string, string>();
  const note = (more: ReadonlyMap<string, string>) =>
    more.forEach((text, at) => places.set(at, text));
  {
    await using watch = new ArgumentWatch(worker.pid);
    await lab.start();

    const inIndexes = await lab.waiting();
    expect(inIndexes).toMatchObject({ phase: 'indexes', waiting: { code: 'ConstraintFailed' } });
    expect(inIndexes.waiting?.reason).toContain('23503');
    note(await shown(lab, 'waiting in indexes'));
    await lab.onSource(`delete from visit where id = 1000`);
    note(new Map([['answer of resume', JSON.stringify(await lab.update('resume'))]]));
    await lab.phase('stream');
    note(await shown(lab, 'in the stream'));

    // A row of another writer on the target makes the next change fail.
    await lab.onTarget(`set walferry.apply = on; insert into person values ('${MARKER}new', 0)`);
    await lab.onSource(`insert into person values ('${MARKER}new', 1)`);
    const inStream = await lab.waiting();
    expect(inStream.waiting).toMatchObject({ code: 'ChangeFailed' });
    expect(inStream.waiting?.reason).toContain('public.person');
    note(await shown(lab, 'waiting in the stream'));
    // The key is stored on the target, where only roles that can read the rows see it.
    const stopped = await lab.onTarget<{ key: string }>(
      /* sql */ `select key_columns::text as key from walferry.stopped_change`,
    );
    expect(stopped.map(({ key }) => key).join()).toContain(`${MARKER}new`);
    await lab.onTarget(`delete from person where code = '${MARKER}new'`);
    expect((await lab.update('resume')).code).toBe(0);
    await lab.finish();

    const programs = watch.lines.map((line) => line.split(' ')[0]?.split('/').at(-1));
    expect(programs).toEqual(expect.arrayContaining(['pg_dump', 'pg_restore']));
    note(new Map([['arguments', watch.lines.join('\n')]]));
  }
  note(await shown(lab, 'at the end'));
  note(written(lab));
  expectLookedAt(lab, places);
  expectClean(places);
});

test('a value that the target refuses stops the copy and appears nowhere', async () => {
  await using lab = await Lab.open(`
    create table person (code text primary key, n int);
    insert into person select '${MARKER}' || i, i from generate_series(1, 100) i;`);
  // The constraint reads the text as a number: the message of 22P02 is the value.
  await lab.onTarget(`create table person (code text primary key, n int,
    constraint numeric_code check (code::int > 0))`);
  await lab.worker();
  await lab.start();
  const waiting = await lab.waiting();
  expect(waiting.phase).toBe('snapshot');
  expect(waiting.waiting?.reason).toContain('public.person');
  expect(waiting.waiting?.reason).toContain('22P02');
  const places = await shown(lab, 'waiting in the copy');
  await lab.onTarget('alter table person drop constraint numeric_code');
  expect((await lab.update('resume')).code).toBe(0);
  await lab.phase('stream');
  await lab.finish();
  for (const [place, text] of [...(await shown(lab, 'at the end')), ...written(lab)]) {
    places.set(place, text);
  }
  expectLookedAt(lab, places);
  expectClean(places);
});
