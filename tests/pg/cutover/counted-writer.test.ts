/** Whose writes the estimate of the downtime counts: with a fence those that its proof would wait for, and no others. */
import { expect, test } from 'vitest';
import { judge } from '../../../contract/readiness-judge.ts';
import { prepareBox, rehearseProof } from '../../../postgres/cutover/prepare-box.ts';
import { fenceFor } from '../../../postgres/fence/kinds.ts';
import { assessReadiness } from '../../../postgres/readiness/assess-readiness.ts';
import { dropSlot } from '../../../postgres/slot/drop-slot.ts';
import { inputOf, recordedWork } from '../../support/control.ts';
import { connectTo, freshPair } from '../../support/database.ts';
import { loginOn } from '../../support/preflight.ts';
import { startMigration } from '../../support/stream.ts';

const DDL = /* sql */ `create table moved (id int primary key); create table etl (id int primary key)`;
const KNOWN = { consistent: true, constraintsBuilt: true, lagSeconds: 0 };
const NONE = { writer: null, prepared: { count: 0, seconds: 0 } };

/** A migration of `moved` alone, whose fence is installed: its triggers wait for no writer. */
async function ready(db: Awaited<ReturnType<typeof freshPair>>) {
  const tables = { include: ['public.*'], exclude: ['public.etl'] };
  const migration = await startMigration(db, DDL, tables);
  const input = inputOf(db, { fence: 'trigger', tables });
  const prepare = () => prepareBox(migration, input, fenceFor(input), undefined, recordedWork());
  await prepare();
  /** Findings about writers, as if those that were found had been there for an hour. */
  const found = async (given = input) => {
    const facts = await assessReadiness(migration, given);
    const writer = facts.writer && { ...facts.writer, seconds: 3600 };
    const { findings } = judge({ ...facts, writer }, KNOWN, '');
    return findings.filter(({ code }) => /writer|prepared/.test(code)).map(({ code }) => code);
  };
  return { migration, input, tables, prepare, found };
}

test('with a fence a writer of a table that does not move counts neither in the estimate nor in a finding, and one of a moved table does', async () => {
  await using db = await freshPair();
  const { migration, input, tables, prepare, found } = await ready(db);
  await using writer = await connectTo(db.source);
  await writer.query(`set application_name = 'etl'; begin; insert into etl values (1)`);
  const { rows } = await writer.query<{ pid: number; role: string }>(
    `select pg_backend_pid() as pid, current_user::text as role`,
  );
  const [{ pid, role } = { pid: 0, role: '' }] = rows;
  expect(await assessReadiness(migration, input)).toMatchObject(NONE);
  expect(await found()).toEqual([]);
  expect(await prepare()).toMatchObject({ writer: null, writerMs: 0 });
  // What the estimate leaves out, the box does not wait for.
  expect(await rehearseProof(migration, fenceFor(input), recordedWork())).toMatchObject({
    holders: 0,
  });
  // Without a fence the operator stops every writer.
  expect(await found(inputOf(db, { fence: 'none', tables }))).toEqual(['long-writer']);

  // The same transaction, a younger one beside it: the age is that of the transaction, not of the lock.
  await using younger = await connectTo(db.source);
  await younger.query(`begin; insert into moved values (2)`);
  await writer.query(`delete from moved where id = 0`);
  const facts = await assessReadiness(migration, input);
  expect(facts.writer).toMatchObject({ pid, application: 'etl' });
  expect(await found()).toEqual(['long-writer']);
  const prepared = await prepare();
  expect(prepared.writer).toBe(`pid ${pid} (${role})`);
  expect(prepared.writerMs).toBeGreaterThan(0);

  // A role that may not see how old a transaction is leaves it to the proof.
  await using login = await loginOn(db, 'source');
  await db.sourceClient.query(`grant select on all tables in schema public to ${login.role}`);
  const limited = { ...migration, source: login.service };
  expect(await assessReadiness(limited, input)).toMatchObject(NONE);
  await writer.query('rollback');
  await younger.query('rollback');
  expect(await assessReadiness(migration, input)).toMatchObject(NONE);
  await dropSlot(migration);
});

test('with a fence a prepared transaction counts only when it wrote a moved table', async () => {
  await using db = await freshPair();
  const { migration, input, prepare, found } = await ready(db);
  const name = (table: string) => `${table}_${db.source}`;
  const prepareIn = (table: string) =>
    db.sourceClient.query(
      `begin; insert into ${table} values (7); prepare transaction '${name(table)}'`,
    );
  await prepareIn('etl');
  expect(await assessReadiness(migration, input)).toMatchObject(NONE);
  expect(await found()).toEqual([]);
  expect(await prepare()).toMatchObject({ writer: null, writerMs: 0 });
  await prepareIn('moved');
  expect((await assessReadiness(migration, input)).prepared.count).toBe(1);
  expect(await found()).toEqual(['prepared-transaction']);
  const prepared = await prepare();
  // What the workflow knows a prepared transaction by: no session can be ended for it.
  expect(prepared.writer).toMatch(/^prepared transaction of /);
  expect(prepared.writerMs).toBeGreaterThan(0);
  for (const table of ['etl', 'moved']) {
    await db.sourceClient.query(`rollback prepared '${name(table)}'`);
  }
  await dropSlot(migration);
});
