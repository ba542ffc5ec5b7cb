/**
 * Preflight against real servers: every finding is provoked once, and its own advice is followed where it is SQL, after which
 * the finding must be gone. What needs another kind of server is in tests/unit/preflight.test.ts.
 */
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type pg from 'pg';
import type { Finding } from '../../contract/finding.ts';
import { parseInput } from '../../contract/input.ts';
import { slotName, type Migration } from '../../contract/migration.ts';
import { CREATE_CONTROL_SCHEMA } from '../../postgres/control/schema.ts';
import { inspect } from '../../postgres/preflight/inspect.ts';
import {
  addService,
  connectTo,
  freshPair,
  sourceServer,
  targetServer,
} from '../support/database.ts';
import type { FreshPair } from '../support/database.ts';
import { until } from '../support/until.ts';
import { LOOPBACK, freePort } from '../../scripts/cluster/port.ts';

interface Given {
  readonly source?: string;
  readonly target?: string;
  readonly workflowId?: string;
  /** Whether open transactions are what the test is about. */
  readonly busy?: boolean;
  readonly input?: Record<string, unknown>;
}

function migrationOf(source: string, target: string, workflowId?: string): Migration {
  const id = randomBytes(8).toString('hex');
  const name = workflowId ?? `wf-${id}`;
  return { id, workflowId: name, source, target, slot: slotName(name, id) };
}

/** Findings of a pair; slots of other tests on the same servers are nobody's business here. */
async function findingsOf(db: FreshPair, given: Given = {}): Promise<Finding[]> {
  const source = given.source ?? db.source;
  const target = given.target ?? db.target;
  const parsed = parseInput({ source, target, ...given.input });
  if (!parsed.ok) throw new Error(parsed.message);
  const migration = migrationOf(source, target, given.workflowId);
  // A slot waits for the transactions of the whole cluster, and other tests have some open now and then.
  const findings = await until('a moment without open transactions', async () => {
    const found = await inspect(migration, parsed.input);
    return given.busy === true || !codes(found).includes('open-transactions') ? found : null;
  });
  return findings.filter(
    ({ code, message }) => code !== 'other-slot' || message.includes(db.source),
  );
}

const codes = (findings: readonly Finding[]): string[] => findings.map(({ code }) => code);

/** The one finding with this code; the others are part of the failure's text. */
function only(findings: readonly Finding[], code: string): Finding {
  const [found, ...more] = findings.filter((finding) => finding.code === code);
  if (!found || more.length > 0) throw new Error(`${code}: found ${JSON.stringify(findings)}`);
  return found;
}

/** Does what a finding says: its SQL statements, one after another. */
async function follow(client: pg.Client, { action }: Finding): Promise<void> {
  const sql = [...action.matchAll(/(?:alter|grant|create|drop|truncate) [^;]+;/g)].map(
    ([one]) => one,
  );
  expect(sql, action).not.toEqual([]);
  for (const statement of sql) await client.query(statement);
}

/** A role with a password and a service of its own for one side of a pair; gone at the end of the scope. */
async function loginOn(
  db: FreshPair,
  side: 'source' | 'target',
  attributes = '',
): Promise<{ service: string; role: string } & AsyncDisposable> {
  const client = side === 'source' ? db.sourceClient : db.targetClient;
  const database = side === 'source' ? db.source : db.target;
  const role = `role_${randomBytes(5).toString('hex')}`;
  const password = randomBytes(8).toString('hex');
  await client.query(`create role ${role} login ${attributes} password '${password}'`);
  const { port } = side === 'source' ? sourceServer() : targetServer();
  addService(role, { host: LOOPBACK, port: String(port), dbname: database, user: role, password });
  return {
    service: role,
    role,
    [Symbol.asyncDispose]: async () => {
      await using again = await connectTo(database);
      await again.query(`drop owned by ${role}; drop role ${role}`);
    },
  };
}

const CLEAN = /* sql */ `
  create table person (id bigint primary key, name text);
  create table purchase (id bigint generated always as identity primary key, person bigint references person);
  create table event (id bigint, day date, primary key (id, day)) partition by range (day);
  create table event_1 partition of event for values from ('2026-01-01') to ('2027-01-01');
  create view people as select name from person;
  create schema app;
  create table app."Order" (id uuid primary key, note text);
  insert into person values (1, 'x')`;

describe('a pair that is ready', () => {
  it('has no findings, and keeps no slot', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(CLEAN);
    expect(await findingsOf(db)).toEqual([]);
    const slots = await db.sourceClient.query(
      /* sql */ `select from pg_replication_slots where database = current_database()`,
    );
    expect(slots.rowCount).toBe(0);
  });

  it('may have all its tables on the target, when they are empty', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(CLEAN);
    await db.targetClient.query(CLEAN);
    await db.targetClient.query('truncate person cascade');
    expect(await findingsOf(db)).toEqual([]);
  });
});

describe('reaching both sides', () => {
  it('everything is told in one go: one side unreachable, the other inspected', async () => {
    await using db = await freshPair();
    await db.sourceClient.query('create table t (id int)');
    addService('nobody_there', { host: LOOPBACK, port: String(await freePort()), dbname: 'x' });
    const findings = await findingsOf(db, { target: 'nobody_there' });
    expect(codes(findings)).toEqual(['target-unreachable', 'replica-identity']);
    expect(only(findings, 'target-unreachable').message).toContain('"nobody_there"');
  });

  it('a service that the worker does not know is named, with where it looked', async () => {
    await using db = await freshPair();
    const finding = only(await findingsOf(db, { source: 'no_such_service' }), 'source-service');
    expect(finding.message).toContain('"no_such_service"');
    expect(finding.message).toContain('pg_service.conf');
  });

  it('two services of one database are refused', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(CLEAN);
    addService('again', {
      host: 'localhost',
      port: String(sourceServer().port),
      dbname: db.source,
      user: sourceServer().spec.role,
      password: sourceServer().spec.password,
    });
    expect(codes(await findingsOf(db, { target: 'again' }))).toContain('same-database');
  });
});

describe('rights', () => {
  it('a role without any on the source: slots, tables, other tables, sequences; the SQL mends it', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(
      CLEAN + '; create schema "Closed"; create table "Closed".t (id int primary key)',
    );
    await using login = await loginOn(db, 'source');
    const given = {
      source: login.service,
      // The grants that are asked for name the role itself, which need not be on the target.
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

  it('row security that hides rows on the source is refused, and bypassrls mends it', async () => {
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

  it('a role without any on the target: schemas, tables, owners, replica role', async () => {
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
    for (const finding of findings) {
      if (finding.code !== 'role-not-member') await follow(db.targetClient, finding);
    }
    const given = { target: login.service, input: { schema: { owners: false } } };
    expect(await findingsOf(db, given)).toEqual([]);
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

describe('tables on the target', () => {
  it('with rows, missing beside others, or with a name that something else has: refused by name', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(CLEAN);
    await db.targetClient.query(`
      create table person (id bigint primary key, name text); insert into person values (1, 'x');
      create view purchase as select 1`);
    const findings = await findingsOf(db);
    expect(codes(findings)).toEqual(['target-clash', 'target-rows', 'target-mixed']);
    expect(only(findings, 'target-clash').message).toContain('public.purchase');
    expect(only(findings, 'target-rows').message).toContain('public.person');
    expect(only(findings, 'target-mixed').message).toContain('app.Order, public.event');
  });
});

describe('tables whose changes could not be followed', () => {
  it('every kind of missing replica identity is found, and its statement mends it', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(`
      create table bare (a int);
      create table "Weird" ("select" int);
      create table indexed (a int not null, b int); create unique index "Indexed_a" on indexed (a);
      create table partly (a int not null, b int); create unique index on partly (a) where b > 0;
      create table nullable (a int unique);
      create table deferred (a int primary key deferrable);
      create table nothing (a int primary key); alter table nothing replica identity nothing;
      create table gone (a int primary key, b int not null unique);
      alter table gone replica identity using index gone_b_key; alter table gone drop constraint gone_b_key;
      create table number_only (n numeric);
      create table good (a int primary key); create table full_one (a int); alter table full_one replica identity full;`);
    const found = only(await findingsOf(db), 'replica-identity');
    expect(found.message).not.toMatch(/good|full_one/);
    expect(found.message).toContain('public.deferred (its primary key is deferrable)');
    expect(found.message).toContain('public.nothing (replica identity nothing)');
    expect(found.message).toContain(
      'public.gone (its replica identity index is gone or not usable)',
    );
    expect(found.action).toContain(
      'alter table public.indexed replica identity using index "Indexed_a";',
    );
    expect(found.action).toContain('alter table public."Weird" replica identity full;');
    await follow(db.sourceClient, found);
    // The table of a numeric column has a key now, and only that much to say.
    expect(codes(await findingsOf(db)).filter((code) => code !== 'special-numbers')).toEqual([]);
  });

  it('unlogged and foreign tables are refused until they are excluded', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(`
      create table t (id int primary key); create unlogged table quick (id int primary key);
      create foreign data wrapper none; create server far foreign data wrapper none;
      create foreign table remote (id int) server far`);
    const findings = await findingsOf(db);
    expect(codes(findings)).toEqual(['foreign-table', 'unlogged-table']);
    const exclude = ['public.quick', 'public.remote'];
    expect(await findingsOf(db, { input: { tables: { exclude } } })).toEqual([]);
  });

  it('a wal2json that cannot tell NaN from null: named columns, and FULL without a key refused', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(`
      create domain price as numeric;
      create table keyed (id int primary key, n numeric, d double precision, safe price, list float4[]);
      create table keyless (r real); alter table keyless replica identity full`);
    const { rows } = await db.sourceClient.query<{ old: boolean }>(
      /* sql */ `select current_setting('server_version_num')::int < 160000 as old`,
    );
    const findings = await findingsOf(db);
    // Debian 12 has wal2json 2.5; with 2.6 (Debian 13 and PGDG) there is nothing to say.
    if (rows[0]?.old === false && findings.length === 0) return;
    expect(codes(findings)).toEqual(['special-numbers-full', 'special-numbers']);
    expect(only(findings, 'special-numbers').message).toContain('public.keyed (n, d)');
    expect(only(findings, 'special-numbers-full').message).toContain('public.keyless (r)');
  });
});

describe('patterns', () => {
  it('that fit no table are named, and so is a selection that is empty', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(CLEAN);
    const slip = await findingsOf(db, {
      input: { tables: { include: ['public.person', 'publik.*'], exclude: ['x.y'] } },
    });
    expect(codes(slip)).toEqual(['pattern-unmatched', 'exclude-unmatched']);
    expect(only(slip, 'pattern-unmatched').message).toContain('publik.*');
    const empty = await findingsOf(db, { input: { tables: { include: ['public.PERSON'] } } });
    expect(codes(empty)).toEqual(['nothing-selected']);
  });
});

describe('what earlier migrations left', () => {
  it('a slot of the same workflow id is refused with the cleanup command, another one is a warning', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(CLEAN);
    const workflowId = `orders-${randomBytes(4).toString('hex')}`;
    const create = /* sql */ `select pg_create_logical_replication_slot($1, 'wal2json')`;
    await db.sourceClient.query(create, [slotName(`${workflowId}_b`, 'another run')]);
    const warned = await findingsOf(db, { workflowId });
    expect(codes(warned)).toEqual(['other-slot']);
    await db.sourceClient.query(create, [slotName(workflowId, 'an earlier run')]);
    const refused = only(await findingsOf(db, { workflowId }), 'leftover-slot');
    expect(refused.message).toContain(slotName(workflowId, 'an earlier run'));
    expect(refused.action).toContain(
      `npm run cleanup -- ${db.source} ${db.target} --workflow-id ${workflowId}`,
    );
  });

  it("another migration's control rows on the target are refused with its workflow id", async () => {
    await using db = await freshPair();
    await db.sourceClient.query(CLEAN);
    await db.targetClient.query(CREATE_CONTROL_SCHEMA);
    expect(await findingsOf(db)).toEqual([]);
    await db.targetClient
      .query(`insert into walferry.migration (id, workflow_id, slot, source_system, source_database)
      values ('x', 'it''s mine', 's', '1', 'd')`);
    const finding = only(await findingsOf(db), 'leftover-control');
    expect(finding.message).toContain(`"it's mine"`);
    expect(finding.action).toContain(`--workflow-id 'it'\\''s mine'`);
  });

  it("a schema of that name which is not walferry's is refused", async () => {
    await using db = await freshPair();
    await db.sourceClient.query(CLEAN);
    await db.targetClient.query('create schema walferry');
    expect(codes(await findingsOf(db))).toEqual(['control-schema']);
  });
});

describe('a busy source', () => {
  it('a transaction that is open does not hold preflight up: it is named in a warning', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(CLEAN);
    await using blocker = await connectTo(db.source);
    const { rows } = await blocker.query<{ pid: number }>('select pg_backend_pid() as pid');
    await blocker.query("begin; insert into person values (2, 'y')");
    const finding = only(await findingsOf(db, { busy: true }), 'open-transactions');
    expect(finding.message).toContain(`pid ${rows[0]?.pid}`);
    await blocker.query('commit');
    expect(await findingsOf(db)).toEqual([]);
  });
});
