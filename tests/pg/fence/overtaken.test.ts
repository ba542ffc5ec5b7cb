/**
 * Fences whose gate is on the target, when somebody else has decided: an attempt that stops the writes too late gives them back, and
 * an end without a worker does, too.
 */
import { chmodSync, existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { endStoredFence } from '../../../postgres/fence/end-stored-fence.ts';
import { takeExtras } from '../../../postgres/fence/extras.ts';
import { decide } from '../../../postgres/store/outcome.ts';
import { recordedWork } from '../../support/control.ts';
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
  ]);
  expect((await admin.query(ACL)).rows).not.toEqual(before);
});
