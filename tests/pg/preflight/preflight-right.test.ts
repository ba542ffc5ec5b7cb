/** Preflight of roles with few rights, on either side: each finding disappears once its advice is followed. */
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { freshPair } from '../../support/database.ts';
import { CLEAN, codes, findingsOf, follow, loginOn, only } from '../../support/preflight.ts';

describe('rights', () => {
  it('a role without any on the source has findings for slots, tables, other tables and sequences; the SQL fixes them', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(
      CLEAN + '; create schema "Closed"; create table "Closed".t (id int primary key)',
    );
    await using login = await loginOn(db, 'source');
    const given = {
      source: login.service,
      // The requested grants name the role itself, which need not exist on the target.
      input: {
        schema: { grants: false },
        tables: { include: ['public.*', 'Closed.*'] },
      },
    };
    const findings = await findingsOf(db, given);
    expect(codes(findings)).toEqual([
      'source-replication',
      'source-select',
      'source-select-other',
      'source-sequence',
    ]);
    expect(only(findings, 'source-select').message).toContain('public.person');
    expect(only(findings, 'source-select-other').message).toContain('app.Order');
    for (const finding of findings) await follow(db.sourceClient, finding);
    expect(await findingsOf(db, given)).toEqual([]);
  });

  it('a role without EXECUTE on pg_control_system() gets the statement that grants it', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(`create table t (id int primary key);
      revoke execute on function pg_control_system() from public`);
    await using login = await loginOn(db, 'source', 'replication');
    await db.sourceClient.query(`grant select on t to ${login.role}`);
    const given = { source: login.service, input: { schema: { grants: false } } };
    await follow(db.sourceClient, only(await findingsOf(db, given), 'source-recognition'));
    expect(await findingsOf(db, given)).toEqual([]);
  });

  it('row security that hides rows on the source is refused, and bypassrls fixes it', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(
      `create table t (id int primary key); alter table t enable row level security`,
    );
    await using login = await loginOn(db, 'source', 'replication');
    await db.sourceClient.query(`grant select on t to ${login.role}`);
    const given = { source: login.service, input: { schema: { grants: false } } };
    const finding = only(await findingsOf(db, given), 'source-row-security');
    expect(finding.message).toContain('public.t');
    await follow(db.sourceClient, finding);
    expect(await findingsOf(db, given)).toEqual([]);
  });

  it('a role without any on the target has findings for schemas, tables, owners and replica role', async () => {
    await using db = await freshPair();
    await db.sourceClient.query('create table t (id int primary key)');
    await using login = await loginOn(db, 'target');
    const findings = await findingsOf(db, { target: login.service });
    expect(codes(findings).sort()).toEqual([
      'replica-role',
      'role-not-member',
      'target-create',
      'target-schema',
    ]);
    for (const finding of findings) await follow(db.targetClient, finding);
    expect(await findingsOf(db, { target: login.service })).toEqual([]);
  });

  it('a target role set up as docs/how-to/prepare.md says has no findings: existing schemas keep their owner', async () => {
    await using db = await freshPair();
    const owner = `owner_${randomBytes(5).toString('hex')}`;
    // A platform's superuser that is unknown on the target: it owns a schema and has rights in the schema's grants.
    const platform = `platform_${randomBytes(5).toString('hex')}`;
    await db.sourceClient.query(`create role ${owner}; create role ${platform};
      create schema app authorization ${owner}; create table app.t (id int primary key);
      create schema shared authorization ${platform}; grant usage on schema shared to ${owner};
      alter table app.t owner to ${owner}`);
    try {
      await using login = await loginOn(db, 'target');
      await db.targetClient.query(`create role ${owner}; grant ${owner} to ${login.role};
        create schema shared; grant create on database ${db.target} to ${login.role};
        grant set on parameter session_replication_role to ${login.role}`);
      const given = { target: login.service };
      // What only the schema's owner may grant is reported, and stops nothing.
      const [grants, ...more] = await findingsOf(db, given);
      expect(grants).toMatchObject({ level: 'warning', code: 'not-owned' });
      expect(grants?.action).toContain(`GRANT USAGE ON SCHEMA shared TO ${owner};`);
      expect(more).toEqual([]);
      // A schema that must be created needs its owner, as before.
      await db.targetClient.query('drop schema shared');
      expect(only(await findingsOf(db, given), 'role-missing').message).toMatch(
        new RegExp(`: ${platform}$`),
      );
    } finally {
      await db.sourceClient.query(
        `drop schema app, shared cascade; drop role ${owner}, ${platform}`,
      );
      await db.targetClient.query(`drop role if exists ${owner}`);
    }
  });

  it('roles that own only objects of excluded tables are not required', async () => {
    await using db = await freshPair();
    const owner = `owner_${randomBytes(5).toString('hex')}`;
    await db.sourceClient.query(`create role ${owner}; create table t (id int primary key);
      create table other (id serial primary key); create view others as select id from other;
      alter table other owner to ${owner}; alter view others owner to ${owner}`);
    try {
      expect(await findingsOf(db, { input: { tables: { include: ['public.t'] } } })).toEqual([]);
      expect(only(await findingsOf(db), 'role-missing').message).toContain(owner);
    } finally {
      await db.sourceClient.query(`drop table other cascade; drop role ${owner}`);
    }
  });

  it('tables on the target that the role may not write, or does not own, are named', async () => {
    await using db = await freshPair();
    const tables = 'create table a (id int primary key); create table b (id int primary key)';
    await db.sourceClient.query(tables);
    await db.targetClient.query(tables);
    await using login = await loginOn(db, 'target', 'superuser');
    await db.targetClient.query(`alter role ${login.role} nosuperuser;
      grant all on b to ${login.role}; grant create on database ${db.target} to ${login.role};
      grant set on parameter session_replication_role to ${login.role}`);
    const findings = await findingsOf(db, { target: login.service });
    expect(codes(findings)).toEqual(['target-write', 'target-owner']);
    expect(only(findings, 'target-write').message).toMatch(/public\.a$/);
    for (const finding of findings) await follow(db.targetClient, finding);
    expect(await findingsOf(db, { target: login.service })).toEqual([]);
  });

  it('roles that own objects, have grants or are named by policies must exist on the target', async () => {
    await using db = await freshPair();
    const [owner, reader, guard] = ['owner', 'reader', 'guard'].map(
      (name) => `${name}_${randomBytes(5).toString('hex')}`,
    );
    await db.sourceClient.query(`
      create role ${owner}; create role ${reader}; create role ${guard};
      create table t (id int primary key); alter table t owner to ${owner}; grant select on t to ${reader};
      create policy p on t to ${guard} using (true)`);
    try {
      const found = only(await findingsOf(db), 'role-missing').message;
      for (const name of [owner, reader, guard]) expect(found).toContain(name);
      const without = { input: { schema: { owners: false, grants: false } } };
      const left = only(await findingsOf(db, without), 'role-missing');
      expect(left.message).toContain(guard);
      expect(left.message).not.toContain(owner);
      expect(await findingsOf(db, { input: { tables: { exclude: ['public.t'] } } })).toMatchObject([
        { code: 'nothing-selected' },
      ]);
      await follow(db.targetClient, only(await findingsOf(db), 'role-missing'));
      expect(await findingsOf(db)).toEqual([]);
    } finally {
      await db.sourceClient.query(`drop table t; drop role ${owner}, ${reader}, ${guard}`);
      await db.targetClient.query(`drop role if exists ${owner}, ${reader}, ${guard}`);
    }
  });
});
