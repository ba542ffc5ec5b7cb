/**
 * Replica identities that changed before the stream reached earlier changes: each change is applied by the identity it was sent
 * with, or the table is resynced. Without that, the same change stopped the stream after every resume.
 */
import { expect, test } from 'vitest';
import { drainWithCopies } from '../../support/resync.ts';
import { freshPair } from '../../support/database.ts';
import { expectSame, startMigration } from '../../support/stream.ts';

const CHANGED = [
  {
    title: 'a key replaced by FULL',
    ddl: /* sql */ `create table t (id int primary key, v text); insert into t values (1, 'a'), (2, 'b')`,
    sql: [
      /* sql */ `update t set v = 'c' where id = 2; update t set id = 3 where id = 1`,
      /* sql */ `alter table t drop constraint t_pkey; alter table t replica identity full`,
      /* sql */ `update t set v = 'd' where id = 3; delete from t where id = 2; insert into t values (2, 'e')`,
    ],
    copied: [],
  },
  {
    title: 'FULL with equal rows, replaced by a key',
    ddl: /* sql */ `create table t (id int, v text); alter table t replica identity full;
      insert into t values (1, 'a'), (1, 'a'), (2, 'b')`,
    sql: [
      /* sql */ `delete from t where ctid = '(0,1)'`,
      /* sql */ `alter table t add primary key (id); alter table t replica identity default`,
      /* sql */ `update t set v = 'c'`,
    ],
    copied: [],
  },
  {
    title: 'FULL and a column added on both sides',
    ddl: /* sql */ `create table t (id int, v text); alter table t replica identity full;
      insert into t values (1, 'a'), (1, 'a'), (2, 'b')`,
    sql: [
      /* sql */ `update t set v = 'c' where id = 2; delete from t where ctid = '(0,1)'`,
      'both',
      /* sql */ `update t set v = 'd', n = 3 where id = 2; update t set v = 'e' where id = 1`,
    ],
    copied: [],
  },
  {
    title: 'temporarily another index',
    ddl: /* sql */ `create table t (id int primary key, u int not null unique, v text);
      insert into t values (1, 11, 'a'), (2, 12, 'b')`,
    sql: [
      /* sql */ `alter table t replica identity using index t_u_key`,
      /* sql */ `update t set v = 'c' where id = 2`,
      /* sql */ `alter table t replica identity default; update t set v = 'd' where id = 1`,
    ],
    copied: ['identifies its row by other columns'],
  },
] as const;

for (const { title, ddl, sql, copied } of CHANGED) {
  test(`changes from before the replica identity was changed arrive: ${title}`, async () => {
    await using db = await freshPair();
    const migration = await startMigration(db, ddl);
    for (const one of sql) {
      if (one !== 'both') await db.sourceClient.query(one);
      else {
        const added = /* sql */ `alter table public.t add column n int default 5`;
        await db.sourceClient.query(added);
        await db.targetClient.query(added);
      }
    }
    const said = (await drainWithCopies(db, migration)).join();
    for (const what of copied) expect(said).toContain(what);
    if (copied.length === 0) expect(said).toBe('');
    await expectSame(db);
  });
}
