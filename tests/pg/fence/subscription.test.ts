/** The worker of a real subscription passes every fence: it is refused from preflight to the seal, and what it writes is not lost. */
import { randomUUID } from 'node:crypto';
import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type pg from 'pg';
import { afterEach, expect, test } from 'vitest';
import { steps } from '../../../activities/steps.ts';
import { fenceOf } from '../../../postgres/fence/kinds.ts';
import { readSubscribed } from '../../../postgres/fence/subscription.ts';
import { connectSource } from '../../../postgres/session/open.ts';
import { recordedWork } from '../../support/control.ts';
import { connectTo, freshPair } from '../../support/database.ts';
import { expectEqual } from '../../support/equality.ts';
import { findingsOf, only } from '../../support/preflight.ts';
import { Steps } from '../../support/steps.ts';
import { subscribe } from '../../support/subscription.ts';
import { until } from '../../support/until.ts';
import { failure } from '../schema/schema-fidelity.ts';
import { fenced, REFUSED, stateOf } from './fenced.ts';

const TABLE = /* sql */ `create table a (id int primary key, v int)`;

const arrived = (client: pg.ClientBase, id: number): Promise<unknown> =>
  until(`row ${id} of the worker`, async () => {
    const { rowCount } = await client.query(/* sql */ `select from public.a where id = $1`, [id]);
    return rowCount === 1;
  });

const VARIABLES = ['WALFERRY_FENCE_CLOSE', 'WALFERRY_FENCE_OPEN'] as const;
afterEach(() => {
  for (const name of VARIABLES) delete process.env[name];
});

/** The operator's programs, which close nothing for a subscription. */
function idlePrograms(): void {
  const program = path.join(mkdtempSync(path.join(tmpdir(), 'subscription-')), 'program');
  writeFileSync(program, '#!/bin/sh\n');
  chmodSync(program, 0o755);
  for (const name of VARIABLES) process.env[name] = program;
}

test('preflight refuses a subscription that writes to a selected table, by name and for each kind of fence, until it is disabled', async () => {
  idlePrograms();
  await using db = await freshPair();
  await db.sourceClient.query(`${TABLE}; create table other (id int primary key)`);
  await using app = await connectTo(db.source);
  await using subscription = await subscribe(app, TABLE);
  const about = async (input: Record<string, unknown>) =>
    // "subscriptions" only says that they do not move.
    (await findingsOf(db, { input })).filter(
      ({ code, message }) => code !== 'subscriptions' && message.includes(subscription.name),
    );
  expect(await about({ fence: 'trigger' })).toEqual([]);
  await subscription.enable();
  for (const fence of ['trigger', 'roles', 'command']) {
    const found = only(await about({ fence }), 'fence-subscription');
    expect(found).toMatchObject({ level: 'error' });
    expect(found.action).toContain('alter subscription NAME disable');
  }
  // The default is not taken then, and preflight says why; other tables are not its business.
  expect(only(await about({ fence: undefined }), 'fence-default').level).toBe('warning');
  expect(await about({ fence: 'trigger', tables: { include: ['public.other'] } })).toEqual([]);
});

test.each(['trigger', 'roles', 'command'] as const)(
  '%s: a subscription that is enabled after the installation passes the fence, and every proof refuses it by name until its worker has ended',
  async (kind) => {
    idlePrograms();
    await using f = await fenced(TABLE, {}, kind);
    await using subscription = await subscribe(await f.app(), TABLE);
    await f.arm();
    expect(await f.prove()).toMatchObject({ holders: 0 });
    await subscription.enable();
    const written = { schema: 'public', name: 'a', subscription: subscription.name };
    expect(await readSubscribed(f.source)).toEqual([written]);
    const { message } = await failure(f.prove(), 'FenceRefused');
    expect(message).toContain(subscription.name);
    // It does pass: that is why it is refused.
    await subscription.publisher.query(/* sql */ `insert into a values (500, 1)`);
    await arrived(f.source, 500);
    // Disabled in the middle of a transaction, its worker still writes.
    const blocker = await f.app();
    await blocker.query(/* sql */ `begin; lock table a in access exclusive mode`);
    await subscription.publisher.query(/* sql */ `insert into a values (501, 1)`);
    await until('the worker to wait for the lock', async () => {
      const { rowCount } = await f.source.query(
        /* sql */ `select from pg_stat_activity where backend_type like 'logical replication%worker' and wait_event_type = 'Lock'`,
      );
      return (rowCount ?? 0) > 0;
    });
    await (await f.app()).query(`alter subscription ${subscription.name} disable`);
    await failure(f.prove({ withinMs: 100 }), 'FenceRefused');
    await blocker.query('commit');
    await subscription.disable();
    expect(await f.prove()).toMatchObject({ ended: 0 });
    expect(await readSubscribed(f.source)).toEqual([]);
  },
);

test('a subscription that is enabled between arming and sealing keeps the cutover from switching: it is undone, writes flow, and its rows arrive', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(TABLE);
  await using app = await connectTo(db.source);
  await using subscription = await subscribe(app, TABLE);
  await using run = new Steps(db.source, db.target, { fence: 'trigger' });
  const { migration, input } = run;
  const step = { migration, input };
  await steps.copySchema(step, recordedWork());
  await run.copy();
  await run.indexes();
  await run.drain();
  await steps.prepareCutover(step, recordedWork());
  const cutover = `${migration.id}/${randomUUID()}`;
  const box = { cutover, milliseconds: 120_000, endSessions: false };
  expect(await steps.armCutover({ ...step, box }, recordedWork())).toMatchObject({ decided: null });
  await subscription.enable();
  await subscription.publisher.query(/* sql */ `insert into a values (1, 1)`);
  await arrived(db.sourceClient, 1);
  const { message } = await failure(
    steps.sealCutover({ ...step, cutover }, recordedWork()),
    'FenceRefused',
  );
  expect(message).toContain(subscription.name);
  expect(await stateOf(db.sourceClient, /* sql */ `insert into a values (2, 1)`)).toBe(REFUSED);
  const undone = await steps.undoCutover({ ...step, cutover }, recordedWork());
  expect(undone.decided).toBe('undone');
  expect(await stateOf(db.sourceClient, /* sql */ `insert into a values (2, 1)`)).toBe('done');
  await run.drain();
  await expectEqual(db.sourceClient, db.targetClient);
  await subscription.disable();
  await using source = await connectSource(migration, 'cutover');
  await fenceOf('trigger').remove(source, migration, recordedWork());
});
