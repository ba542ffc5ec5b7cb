/** Preflight of the role that a login assumes, and of settings that only a superuser can reset. */
import { expect, it } from 'vitest';
import { freshPair } from '../../support/database.ts';
import { expectEqual } from '../../support/equality.ts';
import { findingsOf, follow, loginOn, only } from '../../support/preflight.ts';
import { Steps } from '../../support/steps.ts';

it('settings that hide damaged pages are refused', async () => {
  await using db = await freshPair();
  await using source = await loginOn(db, 'source', 'superuser');
  await db.sourceClient.query('create table public.t (id int primary key)');
  await db.sourceClient.query(`alter role ${source.role} set zero_damaged_pages = on`);
  const found = only(await findingsOf(db, { source: source.service }), 'source-damage-hidden');
  expect(found.message).toContain('zero_damaged_pages');
});

it('a login that becomes another role is refused until that role may see and terminate its sessions', async () => {
  await using db = await freshPair();
  await using source = await loginOn(db, 'source', 'replication');
  await using target = await loginOn(db, 'target');
  const owner = `owner_${db.source}`;
  for (const [client, { role }] of [
    [db.sourceClient, source],
    [db.targetClient, target],
  ] as const) {
    await client.query(`create role ${owner} replication; grant ${owner} to ${role};
      alter role ${role} set role = ${owner}`);
  }
  try {
    await db.sourceClient.query(`create schema app authorization ${owner}; set role ${owner};
      create table app.t (id int primary key, v text); insert into app.t select i, 'x' from generate_series(1, 100) i;
      reset role`);
    await db.targetClient.query(`grant create on database ${db.target} to ${owner};
      grant set on parameter session_replication_role to ${owner}`);
    const services = { source: source.service, target: target.service };
    const refused = (await findingsOf(db, services)).filter(({ level }) => level === 'error');
    expect(refused.map(({ code }) => code)).toEqual(['source-session-role', 'target-session-role']);
    const [onSource, onTarget] = refused.map((finding) => ({
      ...finding,
      action: finding.action.replace(/; or .*/, ';'),
    }));
    if (onSource) await follow(db.sourceClient, onSource);
    if (onTarget) await follow(db.targetClient, onTarget);
    const left = (await findingsOf(db, services)).filter(({ level }) => level === 'error');
    expect(left).toEqual([]);
    await using steps = new Steps(source.service, target.service);
    await steps.copy();
    await steps.indexes();
    await db.sourceClient.query(
      `update app.t set v = 'y' where id < 10; delete from app.t where id = 50`,
    );
    await steps.cutover();
    await expectEqual(db.sourceClient, db.targetClient);
  } finally {
    for (const client of [db.sourceClient, db.targetClient]) {
      await client.query(`drop owned by ${owner} cascade; drop role ${owner}`);
    }
  }
});
