/**
 * Fences whose gate is on the target, when somebody else has decided: an attempt that stops the writes too late gives them back, and
 * an end without a worker does, too.
 */
import { chmodSync, existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { cutoverId } from '../../../contract/cutover.ts';
import { armSource } from '../../../postgres/cutover/arm-source.ts';
import { settleForgotten } from '../../../postgres/cutover/settle-earlier.ts';
import { endStoredFence } from '../../../postgres/fence/end-stored-fence.ts';
import { takeExtras } from '../../../postgres/fence/extras.ts';
import type { Fence } from '../../../postgres/fence/fence-contract.ts';
import { fenceOf } from '../../../postgres/fence/kinds.ts';
import { withExtras } from '../../../postgres/fence/with-extras.ts';
import { overtakeEarlier } from '../../../postgres/store/epoch.ts';
import { armFenceGate } from '../../../postgres/store/fence-gate.ts';
import { decide, readOutcome } from '../../../postgres/store/outcome.ts';
import { recordedWork } from '../../support/control.ts';
import { connectTo } from '../../support/database.ts';
import { until } from '../../support/until.ts';
import { failure } from '../schema/schema-fidelity.ts';
import { fenced } from './fenced.ts';

const SCHEMA = /* sql */ `create table a (id int primary key, v int)`;
const ACL = /* sql */ `select array(select one::text from unnest(relacl) one order by 1) as acl from pg_class where oid = 'public.a'::regclass`;
const DATABASE = /* sql */ `select datconnlimit as limit from pg_database where datname = current_database()`;

afterEach(() => {
  delete process.env['WALFERRY_FENCE_CLOSE'];
  delete process.env['WALFERRY_FENCE_OPEN'];
  delete process.env['WALFERRY_FENCE_SECONDS'];
});

test('command: a close that ends after its cutover was undone is followed by another open, and one that begins after it is refused', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'fence-late-'));
  const at = (name: string): string => path.join(folder, name);
  const program = (name: string, text: string): string => {
    writeFileSync(at(name), `#!/bin/sh\n${text}\necho ${name} >> ${at('calls')}\n`);
    chmodSync(at(name), 0o755);
    return at(name);
  };
  const calls = (): string => readFileSync(at('calls'), 'utf8').trim().split('\n').join(' ');
  process.env['WALFERRY_FENCE_CLOSE'] = program(
    'close',
    `touch ${at('begun')}; while [ ! -e ${at('go')} ]; do sleep 0.02; done`,
  );
  process.env['WALFERRY_FENCE_OPEN'] = program('open', '');
  process.env['WALFERRY_FENCE_SECONDS'] = '120';
  await using f = await fenced(SCHEMA, {}, 'command');
  await f.fence.install(f.source, f.migration, f.input, recordedWork());
  const cutover = randomUUID();
  const arming = f.fence.arm(f.source, f.migration, { cutover, milliseconds: 60_000 });
  arming.catch(() => undefined);
  await until('the command to run', () => existsSync(at('begun')));
  await decide(f.db.targetClient, f.migration, cutover, 'undone');
  await f.fence.open(f.source, f.migration, cutover);
  expect(calls()).toBe('open');
  writeFileSync(at('go'), '');
  expect((await failure(arming, 'FenceRefused')).message).toContain('was undone');
  expect(calls()).toBe('open close open');
  // An attempt that was frozen before it armed anything.
  const frozen = randomUUID();
  await decide(f.db.targetClient, f.migration, frozen, 'undone');
  await failure(
    f.fence.arm(f.source, f.migration, { cutover: frozen, milliseconds: 60_000 }),
    'FenceRefused',
  );
  expect(calls()).toBe('open close open');
});

test('roles: a right that is granted while the writes are stopped makes the proof fail, and an end without a worker gives rights and settings back', async () => {
  await using f = await fenced(SCHEMA, {}, 'roles');
  const admin = await f.app();
  await admin.query(/* sql */ `grant insert, update on a to pg_monitor with grant option`);
  const before = (await admin.query(ACL)).rows;
  const limit = (await admin.query(DATABASE)).rows;
  // A rehearsal proves before anything is revoked.
  await f.fence.install(f.source, f.migration, f.input, recordedWork());
  expect(await f.prove()).toMatchObject({ holders: 0 });
  await f.arm();
  await takeExtras(f.source, f.migration, {
    ...{ readOnlyDefault: false, connect: false, connectionLimit: true },
  });
  await admin.query(/* sql */ `grant delete on a to public`);
  const { message } = await failure(f.prove(), 'FenceRefused');
  expect(message).toContain('rights to write were granted since, to public');
  await admin.query(/* sql */ `revoke delete on a from public`);
  expect(await f.prove()).toMatchObject({ holders: 0 });

  const done = await endStoredFence(f.db.sourceClient, f.db.targetClient, f.migration);
  expect(done).toEqual([
    `granted back rights to write on "${f.db.source}" (2)`,
    `gave back on "${f.db.source}" what the fence had set: connectionLimit`,
  ]);
  expect((await admin.query(ACL)).rows).toEqual(before);
  expect((await admin.query(DATABASE)).rows).toEqual(limit);
  expect(await endStoredFence(f.db.sourceClient, f.db.targetClient, f.migration)).toEqual([]);

  // After a switch the old database stays closed.
  const { cutover } = await f.arm();
  await decide(f.db.targetClient, f.migration, cutover, 'switched');
  expect(await endStoredFence(f.db.sourceClient, f.db.targetClient, f.migration)).toEqual([
    `rights to write on "${f.db.source}" (2) stay revoked: the cutover has switched`,
    'rights of "pg_monitor": INSERT, UPDATE on public.a with grant option; to grant them back: grant INSERT, UPDATE on table public.a to "pg_monitor" with grant option',
  ]);
  expect((await admin.query(ACL)).rows).not.toEqual(before);
});

test('an attempt that was scheduled before the first lease of another run stops no write, and one that was under way is undone by that lease', async () => {
  await using f = await fenced(SCHEMA, {}, 'roles');
  const admin = await f.app();
  const { targetClient: target } = f.db;
  await admin.query(/* sql */ `grant insert on public.a to pg_monitor`);
  const before = (await admin.query(ACL)).rows;
  await f.fence.install(f.source, f.migration, f.input, recordedWork());
  // As a migration that streams has one.
  await target.query(/* sql */ `update walferry.migration set consistent_lsn = '0/1'`);
  const cutover = cutoverId(f.migration, 'late');
  // An arming that has locked the gate when the lease looks.
  await using late = await connectTo(f.db.target);
  await late.query('begin');
  await armFenceGate(late, f.migration, cutover, 60_000);
  const lease = settleForgotten(f.migration, f.fence, { ...recordedWork(), scheduledAt: 2_000 });
  await until('the lease to wait for the gate', async () => {
    const { rowCount } = await target.query(
      /* sql */ `select from pg_stat_activity where wait_event_type = 'Lock' and query like '%fence_gate%' and datname = current_database()`,
    );
    return rowCount === 1;
  });
  await late.query('commit');
  await lease;
  expect((await readOutcome(target, cutover))?.what).toBe('undone');
  expect(await f.fence.gate(f.source, f.migration)).toMatchObject({ state: 'open' });

  const arming = { cutover: cutoverId(f.migration, 'later'), milliseconds: 60_000 };
  await failure(f.fence.arm(f.source, f.migration, { ...arming, scheduledAt: 1_000 }), 'Fenced');
  const box = { ...arming, endSessions: false };
  const work = { ...recordedWork(), scheduledAt: 1_000 };
  for (const fence of [f.fence, fenceOf('trigger')]) {
    await fence.install(f.source, f.migration, f.input, recordedWork());
    await failure(armSource(f.migration, fence, box, work), 'Fenced');
    expect(await fence.gate(f.source, f.migration)).toMatchObject({ state: 'open' });
  }
  expect((await admin.query(ACL)).rows).toEqual(before);
  await f.fence.arm(f.source, f.migration, { ...arming, scheduledAt: 2_000 });
  expect((await admin.query(ACL)).rows).not.toEqual(before);
});

test.each(['undone', 'forgotten'] as const)(
  'extras that an attempt takes after its cutover was %s are given back by that attempt',
  async (how) => {
    await using f = await fenced(SCHEMA);
    const admin = await f.app();
    const limit = (await admin.query(DATABASE)).rows;
    await f.fence.install(f.source, f.migration, f.input, recordedWork());
    const extras = { readOnlyDefault: false, connect: false, connectionLimit: true };
    // It freezes between the arming and the taking.
    const frozen: Fence = {
      ...f.fence,
      arm: async (source, migration, arming) => {
        const armed = await f.fence.arm(source, migration, arming);
        if (how === 'undone') await f.fence.open(source, migration, arming.cutover);
        else await overtakeEarlier(f.db.targetClient, migration, 2_000);
        return armed;
      },
    };
    const arming = { cutover: randomUUID(), milliseconds: 60_000, scheduledAt: 1_000 };
    await failure(
      withExtras(frozen, extras).arm(f.source, f.migration, arming),
      how === 'undone' ? 'FenceRefused' : 'Fenced',
    );
    expect((await admin.query(DATABASE)).rows).toEqual(limit);
  },
);
